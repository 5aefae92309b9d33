"""The word for what is read lives with the shared words: `streamer.source`."""

from __future__ import annotations

from streamer.source import Kind as Kind
from streamer.source import Source as Source
from streamer.source import redacted as redacted
