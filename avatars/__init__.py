"""What leaves face3d: files that other programs open."""
