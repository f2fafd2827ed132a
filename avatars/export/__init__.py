"""One module per file format. Each has `save(head, path)`; a format that keeps everything also has `load(path)`.

`morphable.Head.save` and `Head.load` find the module for a suffix through the entry-point group `morphable.formats`.
"""
