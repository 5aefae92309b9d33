"""When a frame was captured, by the word of who sent it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from streamer.types import TimeOrigin

if TYPE_CHECKING:
    import av

_YEAR_2000_S = 946_684_800.0
_AHEAD_S = 86_400.0
_PRFT = struct.Struct("=qi")


class Mark(NamedTuple):
    """When a packet arrived (monotonic clock), and when it was captured (wall clock), where that is told."""

    arrival_s: float
    capture: tuple[float, TimeOrigin] | None


def believable(captured_s: float, now_s: float) -> bool:
    """Whether a sender's clock is set at all: not before the year 2000, not more than a day ahead of ours."""
    return _YEAR_2000_S <= captured_s <= now_s + _AHEAD_S


def reported_s(packet: av.Packet[Any]) -> float | None:
    """The wall clock of an RTSP camera when the packet's picture was taken, seconds since 1970.

    FFmpeg works it out from the RTCP sender report before it (RFC 3550 section 6.4.1) and hands it over as the
    packet's producer reference time, in microseconds. None before the first report.
    """
    if not packet.has_sidedata("prft"):
        return None
    data = bytes(packet.get_sidedata("prft"))
    return _PRFT.unpack_from(data)[0] / 1e6 if len(data) >= _PRFT.size else None
