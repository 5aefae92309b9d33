"""Models: what they are, where they come from, how they run. Never imports `streamer`."""
