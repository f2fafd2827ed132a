# Prints what Godot made of res://head.glb as one line of JSON.
extends SceneTree

func _init():
	var scene = load("res://head.glb").instance()
	var found = {"meshes": {}, "bones": []}
	_walk(scene, found)
	print("FOUND ", JSON.print(found))
	scene.free()
	quit()

func _walk(node, found):
	if node is MeshInstance:
		found.meshes[node.name] = _read_mesh(node.mesh)
	if node is Skeleton:
		for bone in node.get_bone_count():
			var place = node.get_bone_global_pose(bone).origin
			found.bones.append({"name": node.get_bone_name(bone), "place": [place.x, place.y, place.z]})
	for child in node.get_children():
		_walk(child, found)

func _read_mesh(mesh):
	var shapes = []
	for index in mesh.get_blend_shape_count():
		shapes.append(mesh.get_blend_shape_name(index))
	var neutral = mesh.surface_get_arrays(0)[Mesh.ARRAY_VERTEX]
	var moves = []
	for shape in mesh.surface_get_blend_shape_arrays(0):
		moves.append(_farthest(neutral, shape[Mesh.ARRAY_VERTEX]))
	var box = AABB(neutral[0], Vector3.ZERO)
	for vertex in neutral:
		box = box.expand(vertex)
	return {
		"shapes": shapes,
		"moves": moves,
		"bones": mesh.surface_get_arrays(0)[Mesh.ARRAY_BONES] != null,
		"size": [box.size.x, box.size.y, box.size.z],
	}

func _farthest(a, b):
	var farthest = 0.0
	for index in a.size():
		farthest = max(farthest, (a[index] - b[index]).length())
	return farthest
