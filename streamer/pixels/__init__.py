"""Decoded pictures as untouched planes. `streamer.pixels.frames` (which needs PyAV) makes them from frames."""

from __future__ import annotations

from streamer.pixels.picture import Picture as Picture
