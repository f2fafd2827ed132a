// Shows /head.glb to an orthographic camera in front of the face, so that pixels are metres.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

const PIXELS = 512;

const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
renderer.setSize(PIXELS, PIXELS);
document.body.append(renderer.domElement);

const { scene: head, animations } = await new GLTFLoader().loadAsync("/head.glb");
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x445566);
scene.add(head, new THREE.HemisphereLight(0xffffff, 0x888888, 2));
const sun = new THREE.DirectionalLight(0xffffff, 2);
sun.position.set(0.3, 1, 1);
scene.add(sun);

const parts = {};
head.traverse((node) => {
  if (node.isSkinnedMesh) parts[node.name] = node;
});

window.describe = () => ({
  joints: parts.head.skeleton.bones.map((bone) => ({
    name: bone.name,
    place: bone.getWorldPosition(new THREE.Vector3()).toArray(),
  })),
  parts: Object.fromEntries(
    Object.entries(parts).map(([name, part]) => [name, Object.keys(part.morphTargetDictionary ?? {})]),
  ),
});

// The vertices of each part at a time of the file's animation, as three.js's own mixer, morphs and skinning place them.
window.play = (time) => {
  const mixer = new THREE.AnimationMixer(head);
  mixer.clipAction(animations[0]).play();
  mixer.setTime(time);
  head.updateMatrixWorld(true);
  const place = new THREE.Vector3();
  const vertices = (part) =>
    Array.from({ length: part.geometry.attributes.position.count }, (_, index) =>
      part.getVertexPosition(index, place).applyMatrix4(part.matrixWorld).toArray(),
    );
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, vertices(part)]));
};

// A PNG data URL of the square of `width` metres around `centre`, with each of `weights` applied.
window.render = (weights, centre, width) => {
  for (const part of Object.values(parts)) {
    part.morphTargetInfluences?.fill(0);
    for (const [name, weight] of Object.entries(weights)) {
      const index = part.morphTargetDictionary?.[name];
      if (index !== undefined) part.morphTargetInfluences[index] = weight;
    }
  }
  const camera = new THREE.OrthographicCamera(-width / 2, width / 2, width / 2, -width / 2, 0.01, 2);
  camera.position.set(centre[0], centre[1], centre[2] + 1);
  renderer.render(scene, camera);
  return renderer.domElement.toDataURL("image/png");
};
