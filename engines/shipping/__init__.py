"""From trained weights to engines: export, quantize, build, compare."""
