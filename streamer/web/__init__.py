"""The live dashboard: what is on the bus now, in a browser."""
