"""The project's own network for faces, and how it is taught on synthetic photos."""
