"""Where frames come from: what the user names, as a list of sources. Opening them is `streamer.decode`."""

from __future__ import annotations

from streamer.source import Source as Source
from streamer.source import redacted as redacted
from streamer.sources.addresses import written as written
from streamer.sources.identity import session_of as session_of
from streamer.sources.pages import resolve as resolve
from streamer.sources.parse import parse as parse
from streamer.sources.parse import parse_all as parse_all
from streamer.sources.playlists import expand_pages as expand_pages
