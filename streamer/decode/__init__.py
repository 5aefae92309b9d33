"""Opened containers as `Frame`s: times made monotonic, planes untouched, failures named."""

from __future__ import annotations

from streamer.decode.decoder import Decoder as Decoder
from streamer.decode.decoder import open_source as open_source
from streamer.decode.feeds import DecoderInfo as DecoderInfo
from streamer.decode.media_clock import MediaClock as MediaClock
from streamer.decode.media_clock import Moment as Moment
