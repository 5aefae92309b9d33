"""From published files to the one form the runners read: ONNX with a dynamic batch and our names.

Each module has `convert(files) -> bytes`: the published files by name in, ONNX out. The same input gives the same
bytes whatever the version of the `onnx` package, because graphs are built from plain fields with nothing of the
writer in them; so the sha256 of the result is pinned in the catalogue. Imported only while pulling.
"""
