"""Which frames, of which streams, go through the models together."""
