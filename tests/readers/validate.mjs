// Prints the Khronos validator's report on a file: node validate.mjs head.glb
import { readFile } from "node:fs/promises";
import validator from "gltf-validator";

const data = new Uint8Array(await readFile(process.argv[2]));
const report = await validator.validateBytes(data, { maxIssues: 100 });
console.log(JSON.stringify(report));
