"""Where decoded frames come from: a container's packets, or a folder's images."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import av
from av.format import Flags
from av.video.frame import VideoFrame

from streamer.clock import Clock
from streamer.config import ConnectSettings, DecodeSettings
from streamer.decode.bounded import bounded
from streamer.decode.captured import Mark, believable, reported_s
from streamer.decode.explaining import FFMPEG_NETWORK_KINDS, explained, explanation
from streamer.decode.opening import (
    check_size,
    open_container,
    open_image,
    read_limit_s,
    undecodable,
    video_stream,
)
from streamer.decode.pieces import PieceFile
from streamer.decode.structure import missing_end
from streamer.errors import SourceError, SourceMissing, SourceStalled, SourceTruncated
from streamer.source import ENDLESS_KINDS, Address, Source, images_in
from streamer.types import TimeOrigin

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"

_MARKS_KEPT = 64
_READ_FAILURES = 8
_SKIPPED_KINDS = frozenset(("file", "http", "hls", "dash"))
"""Kinds that give whatever there is: where FFmpeg reads them, "again" means that it has left bytes out."""
_TS_DISCONT = int(cast(Flag, Flags.ts_discont).value)
_DURATION_FORMATS = frozenset(("flv", "asf"))
_SHORT_S, _SHORT_SHARE = 1.0, 0.02
"""A flv or asf file without sound that ends this much before its declared duration is cut."""


@dataclass(frozen=True, slots=True)
class DecoderInfo:
    """What a source says about itself before its first frame; None where it does not say."""

    codec: str
    pixel_format: str | None
    coded_wh: tuple[int, int]
    display_wh: tuple[int, int]
    fps: float | None
    duration_s: float | None
    n_frames: int | None


@dataclass(slots=True)
class Taken:
    """One decoded frame, or (frame None) one packet that could not be decoded, or (`idle`) one that was not to be.

    `capture` is when it was captured (wall clock), where the source tells.
    """

    frame: VideoFrame | None
    pts: int | None = None
    duration_ticks: int | None = None
    arrival_s: float = 0.0
    damaged: bool = False
    capture: tuple[float, TimeOrigin] | None = None
    idle: bool = False


class Feed(Protocol):
    """What the decoder reads from. Used by one thread at a time; `keyframes_only` and `interrupt` are for any."""

    info: DecoderInfo
    rate: Fraction | None
    time_base: Fraction | None
    restarts: bool
    created_s: float | None
    sample_aspect_ratio: Fraction | None
    keyframes_only: bool

    @property
    def reorder_frames(self) -> int:
        """By how many frames decoding lags behind because of their order (B-frames)."""

    @property
    def quiet_until_s(self) -> float:
        """Until when (monotonic) it is no sign of trouble when nothing comes."""

    def read(self) -> Iterator[Taken]:
        """Frames in the order they are shown; ends, or raises `SourceTruncated`, at the end of the source."""

    def interrupt(self) -> None:
        """End a wait for the network, as far as that can be done."""

    def close(self) -> None:
        """Free the source; safe to call twice."""


class ContainerFeed:
    """A file, an address, a camera or a test source."""

    def __init__(
        self, source: Source, address: Address, settings: DecodeSettings, clock: Clock, connect: ConnectSettings
    ) -> None:
        self._source, self._address, self._clock, self._connect = source, address, clock, connect
        self._networked = address.kind in FFMPEG_NETWORK_KINDS
        self._read_limit_s = read_limit_s(address, connect)
        self._waiting_since_s = 0.0
        self._unreadable = False
        self._last_byte = 0
        self.keyframes_only = False
        self._opened = open_container(source, address, settings.max_pixels, connect, clock)
        self._container = self._opened.container
        try:
            self._stream = video_stream(source, self._container)
            with explained(source, address):
                self._prepare(settings)
        except SourceError:
            self._opened.close()
            raise

    def _prepare(self, settings: DecodeSettings) -> None:
        source, container, stream = self._source, self._container, self._stream
        context = stream.codec_context
        check_size(source, context.width, context.height, settings.max_pixels)
        live = source.mode == "live"
        context.thread_type = "SLICE" if live or settings.threads == 1 else "FRAME"
        context.thread_count = 1 if live else settings.threads
        context.options = {"max_pixels": str(2 * settings.max_pixels)}
        rate = stream.average_rate or stream.guessed_rate or source.rate
        if self._address.kind == "mjpeg":  # 25 by FFmpeg's word, whatever comes
            rate = None
        self.rate = rate
        self.time_base = stream.time_base
        self.restarts = bool(container.format.flags & _TS_DISCONT) or (live and source.kind in ENDLESS_KINDS)
        self.sample_aspect_ratio = stream.sample_aspect_ratio
        self.created_s = _creation_s(stream.metadata) or _creation_s(container.metadata)
        duration_s = container.duration / 1e6 if container.duration else None
        if stream.duration and stream.time_base:
            duration_s = float(stream.duration * stream.time_base)
        if isinstance(self._opened.io, PieceFile):
            duration_s = self._opened.io.duration_s
        width, height = context.width, context.height
        ratio = self.sample_aspect_ratio
        wide = round(width * ratio) if ratio and Fraction(1, 8) <= ratio <= 8 else width
        self.info = DecoderInfo(
            context.name,
            context.pix_fmt,
            (width, height),
            (wide, height),
            None if self._address.kind == "mjpeg" else float(rate or 25),
            duration_s,
            stream.frames or None,
        )

    @property
    def reorder_frames(self) -> int:
        return 0 if self.keyframes_only else int(self._stream.codec_context.reorder_depth)

    @property
    def quiet_until_s(self) -> float:
        return self._opened.io.quiet_until_s if self._opened.io is not None else 0.0

    def read(self) -> Iterator[Taken]:
        marks: dict[int, Mark] = {}
        covered: tuple[int, int] | None = None
        skipping = False
        for packet in self._packets():
            if packet is None:
                yield Taken(None, damaged=True)
                continue
            mark = self._mark(packet)
            if packet.pts is not None:
                marks[packet.pts] = mark
                if len(marks) > _MARKS_KEPT:
                    del marks[next(iter(marks))]
            alone = self.keyframes_only
            skipping = packet.size > 0 and not packet.is_keyframe and (alone or skipping)
            if skipping:
                yield Taken(None, arrival_s=mark.arrival_s, idle=True)
                continue
            try:
                frames = self._decoded(packet, alone=alone)
            except (av.FFmpegError, ValueError):
                if packet.size:
                    yield Taken(None, arrival_s=mark.arrival_s, damaged=True)
                continue
            if not frames:
                yield Taken(None, arrival_s=mark.arrival_s, idle=True)
            damaged = packet.is_corrupt
            for frame in frames:
                if frame.is_corrupt:
                    yield Taken(None, arrival_s=mark.arrival_s, damaged=True)
                elif frame.pts is None:
                    yield Taken(frame, None, frame.duration or None, mark.arrival_s, damaged, mark.capture)
                else:
                    end_pts = frame.pts + (frame.duration or 0)
                    first, last = covered or (frame.pts, end_pts)
                    covered = min(first, frame.pts), max(last, end_pts)
                    own = marks.pop(frame.pts, mark)
                    capture = own.capture or self._dated(frame.pts)
                    yield Taken(frame, frame.pts, frame.duration or None, own.arrival_s, damaged, capture)
                damaged = False
        self._check_end((covered[1] - covered[0]) * (self.time_base or Fraction(0)) if covered else Fraction(0))

    def _decoded(self, packet: VideoPacket, *, alone: bool) -> list[VideoFrame]:
        """The frames that come out. A key frame that stands `alone` comes at once, whatever order the source has."""
        frames = self._stream.decode(packet if packet.size else None)
        if alone and packet.size:
            frames += self._stream.decode(None)
            self._stream.codec_context.flush_buffers()
        return frames

    def _mark(self, packet: VideoPacket) -> Mark:
        now_s = self._arrived_s()
        at_s = reported_s(packet) if self._address.kind == "rtsp" else None
        if at_s is None or not believable(at_s, self._clock.wall_s()):
            return Mark(now_s, None)
        return Mark(now_s, (at_s, "rtcp"))

    def _dated(self, pts: int) -> tuple[float, TimeOrigin] | None:
        anchors = self._opened.anchors
        at_s = anchors.date_s(float(pts * self.time_base)) if anchors is not None and self.time_base else None
        if at_s is None or not believable(at_s, self._clock.wall_s()):
            return None
        return at_s, "program_date_time"

    def _packets(self) -> Iterator[VideoPacket | None]:
        """The stream's packets, None where one cannot be read, and an empty one that flushes the decoder.

        Reading goes on after what cannot be read, but not for ever: at the end of a cut file FFmpeg may say so each
        time it is asked. Of a transport stream it says "again" (EAGAIN) after each 64 KiB without a packet in them;
        that comes to an end by itself, and the decoder's own count ends it sooner.
        """
        failures = 0
        self._waiting_since_s = self._clock.monotonic_s()
        while failures < _READ_FAILURES:
            try:
                for packet in self._demuxed():
                    failures = 0 if packet.size else failures
                    yield packet
                self._check_io()
                return
            except (av.InvalidDataError, av.EOFError, av.BlockingIOError) as error:
                self._check_io()
                self._check_patience()
                if not (isinstance(error, av.BlockingIOError) and self._address.kind in _SKIPPED_KINDS):
                    failures += 1
                yield None
            except av.ExitError as error:
                self._check_patience()
                if not self._networked:
                    raise self._broken(error) from None
            except (av.FFmpegError, OSError) as error:
                self._check_io()
                raise self._broken(error) from None
        if self._networked:
            raise self._broken(av.InvalidDataError(0, ""))
        self._unreadable = True
        yield cast(VideoPacket, av.Packet())

    def _demuxed(self) -> Iterator[VideoPacket]:
        """The packets, each with a time limit of its own."""
        io = self._opened.io
        if io is not None:
            io.renew()
        packets = self._container.demux(self._stream)
        size_bytes = self._container.size if self._address.kind in ("file", "http") else 0
        for packet in bounded(packets, self._source, size_bytes) if size_bytes > 0 else packets:
            self._last_byte = packet.pos or self._last_byte
            yield packet
            if io is not None:
                io.renew()

    def _arrived_s(self) -> float:
        """When the packet that was just read came, on the monotonic clock.

        One that took as long as FFmpeg waits did not come now: it lay there unended, and the wait was in vain.
        """
        if not self._networked:
            return self._clock.monotonic_s()
        now_s = self._clock.monotonic_s()
        if now_s - self._waiting_since_s < self._read_limit_s:
            self._waiting_since_s = now_s
        return self._waiting_since_s

    def _check_patience(self) -> None:
        """Raise `SourceStalled` where FFmpeg's network code has waited long enough."""
        if self._networked and self._clock.monotonic_s() - self._waiting_since_s > self._connect.no_frame_s:
            raise SourceStalled(f"{self._source.name} is connected but gives nothing: it is opened again.")

    def _check_io(self) -> None:
        """Raise what our own reader ended with: FFmpeg saw no more than an end."""
        io = self._opened.io
        if io is not None and io.failure is not None:
            failure, io.failure = io.failure, None
            raise failure

    def _broken(self, error: Exception) -> SourceError:
        return explanation(self._source, error, self._address, self._last_byte)

    def interrupt(self) -> None:
        """FFmpeg's own network code waits on until its time limit; ours ends at once."""
        if self._opened.io is not None:
            self._opened.io.abort()

    def _check_end(self, covered: Fraction) -> None:
        path = Path(self._source.url)
        missing = None
        if self._source.kind == "file":
            with explained(self._source, self._address):
                missing = missing_end(path) if path.is_file() else None
        declared_s, covered_s = self.info.duration_s or 0.0, float(covered)
        alone = self._source.kind == "file" and len(self._container.streams) == 1
        if missing is None and alone and self._container.format.name in _DURATION_FORMATS:
            short_s = declared_s - covered_s
            if short_s > max(_SHORT_S, _SHORT_SHARE * declared_s, 2 / float(self.rate or 25)):
                missing = f"{short_s:.1f} of {declared_s:.1f} seconds are missing"
        if missing:
            raise SourceTruncated(
                f"{self._source.name} ends too early, {missing}: the frames before are kept, copy or record it again."
            )
        if self._unreadable:
            raise undecodable(self._source, _READ_FAILURES)

    def close(self) -> None:
        self._opened.close()


class ImagesFeed:
    """A folder of images, or one image, at a fixed rate; an image that cannot be read is a damaged packet."""

    created_s: float | None = None
    sample_aspect_ratio: Fraction | None = None
    restarts = False
    keyframes_only = False
    reorder_frames = 0
    quiet_until_s = 0.0

    def __init__(self, source: Source, settings: DecodeSettings, clock: Clock) -> None:
        self._source, self._settings, self._clock = source, settings, clock
        self.rate: Fraction | None = source.rate or Fraction(25)
        self.time_base: Fraction | None = 1 / self.rate
        with explained(source):
            self._paths = images_in(Path(source.url))
            if not self._paths or not self._paths[0].exists():
                raise SourceMissing(f"{source.name} holds no images: check the path.")
            first = open_image(source, self._paths[0], settings.max_pixels)
        with first:
            context = video_stream(source, first).codec_context
            size = (context.width, context.height)
            check_size(source, *size, settings.max_pixels)
            n = len(self._paths)
            rate = float(self.rate)
            self.info = DecoderInfo(context.name, context.pix_fmt, size, size, rate, n / rate, n)

    def read(self) -> Iterator[Taken]:
        for index, path in enumerate(self._paths):
            frame: VideoFrame | None = None
            try:
                with open_image(self._source, path, self._settings.max_pixels) as container:
                    stream = video_stream(self._source, container)
                    check_size(self._source, stream.width, stream.height, self._settings.max_pixels)
                    frame = next(container.decode(stream), None)
            except (SourceError, av.FFmpegError, OSError, ValueError):
                frame = None
            yield Taken(frame, index, 1, self._clock.monotonic_s(), frame is None)

    def interrupt(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Every image is closed as soon as it is read."""


def open_feed(
    source: Source, address: Address, settings: DecodeSettings, clock: Clock, connect: ConnectSettings
) -> Feed:
    """The feed for a source's kind. Raises `SourceError`."""
    if address.kind == "images":
        return ImagesFeed(source, settings, clock)
    return ContainerFeed(source, address, settings, clock, connect)


def _creation_s(metadata: dict[str, str]) -> float | None:
    """Seconds since 1970 of `creation_time`; None where it is absent or a placeholder (1904, 1970)."""
    try:
        created = dt.datetime.fromisoformat(metadata["creation_time"].strip())
    except (KeyError, ValueError):
        return None
    if created.tzinfo is None:
        created = created.replace(tzinfo=dt.UTC)
    return created.timestamp() if created.year > 1970 else None
