"""When a piece of a live stream was captured, tied to the time stamps inside of it.

A playlist dates segments, frames carry time stamps: the first time stamp of a segment is what ties the two.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_TS_PACKET_BYTES = 188
_TS_SCALE = 90_000
_TS_WRAP_S = (1 << 33) / _TS_SCALE
_KEPT = 64
_EARLY_S, _LATE_S = 0.25, 0.5
"""Frames may lie so far outside of their segment's dates: leading B-frames, and durations that were rounded."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A segment begins at `first_s` of its own time stamps (which start again after `wrap_s`), and at `date_s`."""

    first_s: float
    date_s: float
    duration_s: float
    wrap_s: float | None = None

    def after_s(self, at_s: float) -> float:
        """How long after its beginning a frame is."""
        if self.wrap_s is None:
            return at_s - self.first_s
        return (at_s - self.first_s + self.wrap_s / 2) % self.wrap_s - self.wrap_s / 2

    def covers(self, at_s: float) -> bool:
        """Whether the frame lies within its dates exactly."""
        return 0 <= self.after_s(at_s) < self.duration_s

    def holds(self, at_s: float) -> bool:
        """Whether the frame can be one of this segment's."""
        return -_EARLY_S <= self.after_s(at_s) < self.duration_s + _LATE_S


class Anchors:
    """The dates of the segments that are being read, in their order. Added to by one thread, asked by another."""

    def __init__(self) -> None:
        self._kept: deque[Anchor] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._asked_s: float | None = None

    def add(self, anchor: Anchor) -> None:
        """The next segment."""
        with self._lock:
            self._kept.append(anchor)

    def date_s(self, at_s: float) -> float | None:
        """When a frame of time stamp `at_s` was captured, seconds since 1970; frames are asked for as they are shown.

        None where its segment has no date.
        """
        with self._lock:
            back = self._asked_s is not None and at_s < self._asked_s - _EARLY_S
            self._asked_s = at_s
            # A later segment may count anew over the time stamps of the one being read, so that one goes first.
            while len(self._kept) > 1 and self._kept[1].holds(at_s) and self._kept[1].after_s(at_s) >= 0:
                if self._kept[0].covers(at_s) and not back:
                    break
                self._kept.popleft()
                back = False
            for anchor in self._kept:
                if anchor.holds(at_s):
                    return anchor.date_s + anchor.after_s(at_s)
        return None


@dataclass(frozen=True, slots=True)
class Track:
    """The video track of fragmented MP4, and the ticks of its time in a second."""

    number: int
    scale: int


def first_of_ts(data: bytes) -> float | None:
    """The first time stamp of the video in a segment of MPEG-TS, in seconds; None where there is none."""
    at = data.find(b"\x47")
    while 0 <= at <= len(data) - _TS_PACKET_BYTES:
        if data[at] != 0x47:
            at = data.find(b"\x47", at)
            continue
        pes = at + 4
        if data[at + 3] & 0x20:
            pes += 1 + data[at + 4]
        begins = data[at + 1] & 0x40 and data[at + 3] & 0x10 and pes + 14 <= at + _TS_PACKET_BYTES
        if begins and data[pes : pes + 3] == b"\0\0\1" and data[pes + 3] & 0xF0 == 0xE0 and data[pes + 7] & 0x80:
            high, middle, low = data[pes + 9] >> 1 & 7, data[pes + 10 : pes + 12], data[pes + 12 : pes + 14]
            ticks = high << 30 | int.from_bytes(middle) >> 1 << 15 | int.from_bytes(low) >> 1
            return ticks / _TS_SCALE
        at += _TS_PACKET_BYTES
    return None


def ts_anchor(data: bytes, date_s: float, duration_s: float) -> Anchor | None:
    """The anchor of a segment of MPEG-TS."""
    first_s = first_of_ts(data)
    return None if first_s is None else Anchor(first_s, date_s, duration_s, _TS_WRAP_S)


def video_track(header: bytes) -> Track | None:
    """The video track that a header of fragmented MP4 describes."""
    for trak in _boxes(_inside(header, b"moov"), b"trak"):
        media = _inside(trak, b"mdia")
        handler = next(_boxes(media, b"hdlr"), b"")
        times, described = next(_boxes(media, b"mdhd"), b""), next(_boxes(trak, b"tkhd"), b"")
        if handler[8:12] != b"vide" or len(times) < 24 or len(described) < 24:
            continue
        scale = int.from_bytes(times[20:24] if times[0] == 1 else times[12:16])
        number = int.from_bytes(described[20:24] if described[0] == 1 else described[12:16])
        return Track(number, scale) if scale else None
    return None


def mp4_anchor(data: bytes, track: Track, date_s: float, duration_s: float) -> Anchor | None:
    """The anchor of a segment of fragmented MP4."""
    for moof in _boxes(data, b"moof"):
        for traf in _boxes(moof, b"traf"):
            head, begins = next(_boxes(traf, b"tfhd"), b""), next(_boxes(traf, b"tfdt"), b"")
            if len(begins) >= 8 and int.from_bytes(head[4:8]) == track.number:
                ticks = int.from_bytes(begins[4:12] if begins[0] == 1 else begins[4:8])
                ticks += _first_shift(next(_boxes(traf, b"trun"), b""))
                return Anchor(ticks / track.scale, date_s, duration_s)
    return None


def _first_shift(trun: bytes) -> int:
    """By how much the first sample is shown later than it is decoded."""
    flags = int.from_bytes(trun[1:4])
    if not flags & 0x800:
        return 0
    at = 8 + sum(4 for flag in (0x1, 0x4, 0x100, 0x200, 0x400) if flags & flag)
    return int.from_bytes(trun[at : at + 4], signed=trun[0] == 1)


def _inside(data: bytes, kind: bytes) -> bytes:
    return next(_boxes(data, kind), b"")


def _boxes(data: bytes, kind: bytes) -> Iterator[bytes]:
    """The contents of the boxes of one kind, outermost level."""
    at = 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        size = size or len(data) - at
        if size < head:
            return
        if data[at + 4 : at + 8] == kind:
            yield data[at + head : at + size]
        at += size
