"""The address of what is opened for a source."""

from __future__ import annotations

from streamer.config import ConnectSettings
from streamer.errors import SourceUnsupported
from streamer.source import Address, Source


def resolve(source: Source, connect: ConnectSettings, now_s: float) -> Address:
    """The source's own address."""
    if source.kind == "page":
        raise SourceUnsupported(f"{source.name}: pages are not read yet.")
    return Address(source.url, source.kind)
