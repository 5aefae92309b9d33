"""Where decoded frames come from: a container's packets, or a folder's images."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
from av.video.frame import VideoFrame

from streamer.clock import Clock
from streamer.config import DecodeSettings
from streamer.decode.opening import (
    check_size,
    explained,
    explanation,
    open_container,
    open_image,
    undecodable,
    video_stream,
)
from streamer.decode.structure import missing_end
from streamer.errors import SourceError, SourceMissing, SourceTruncated
from streamer.source import Source, images_in

_ARRIVALS_KEPT = 64
_READ_FAILURES = 8
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
    """One decoded frame, or (frame None) one packet that could not be decoded."""

    frame: VideoFrame | None
    pts: int | None = None
    duration_ticks: int | None = None
    arrival_s: float = 0.0
    damaged: bool = False


class Feed(Protocol):
    """What the decoder reads from. Used by one thread at a time."""

    info: DecoderInfo
    time_base: Fraction
    step_ticks: int
    created_s: float | None
    sample_aspect_ratio: Fraction | None

    def read(self) -> Iterator[Taken]:
        """Frames in the order they are shown; ends, or raises `SourceTruncated`, at the end of the source."""

    def close(self) -> None:
        """Free the source; safe to call twice."""


class ContainerFeed:
    """A file, an address, a camera or a test source."""

    def __init__(self, source: Source, settings: DecodeSettings, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._unreadable = False
        self._container = open_container(source, settings.max_pixels)
        try:
            self._stream = video_stream(source, self._container)
            with explained(source):
                self._prepare(settings)
        except SourceError:
            self._container.close()
            raise

    def _prepare(self, settings: DecodeSettings) -> None:
        source, container, stream = self._source, self._container, self._stream
        context = stream.codec_context
        check_size(source, context.width, context.height, settings.max_pixels)
        live = source.mode == "live"
        context.thread_type = "SLICE" if live or settings.threads == 1 else "FRAME"
        context.thread_count = 1 if live else settings.threads
        context.options = {"max_pixels": str(2 * settings.max_pixels)}
        rate = stream.average_rate or stream.guessed_rate or source.rate or Fraction(25)
        self.time_base = stream.time_base or 1 / rate
        self.step_ticks = max(1, round(1 / rate / self.time_base))
        self.sample_aspect_ratio = stream.sample_aspect_ratio
        self.created_s = _creation_s(stream.metadata) or _creation_s(container.metadata)
        duration_s = container.duration / 1e6 if container.duration else None
        if stream.duration:
            duration_s = float(stream.duration * self.time_base)
        width, height = context.width, context.height
        ratio = self.sample_aspect_ratio
        wide = round(width * ratio) if ratio and Fraction(1, 8) <= ratio <= 8 else width
        self.info = DecoderInfo(
            context.name,
            context.pix_fmt,
            (width, height),
            (wide, height),
            float(rate),
            duration_s,
            stream.frames or None,
        )

    def read(self) -> Iterator[Taken]:
        arrivals: dict[int, float] = {}
        covered: tuple[int, int] | None = None
        for packet in self._packets():
            arrival_s = self._clock.monotonic_s()
            if packet is None:
                yield Taken(None, damaged=True)
                continue
            if packet.pts is not None:
                arrivals[packet.pts] = arrival_s
                if len(arrivals) > _ARRIVALS_KEPT:
                    del arrivals[next(iter(arrivals))]
            try:
                frames = self._stream.decode(packet if packet.size else None)
            except (av.FFmpegError, ValueError):
                if packet.size:
                    yield Taken(None, damaged=True)
                continue
            damaged = packet.is_corrupt
            for frame in frames:
                if frame.is_corrupt:
                    yield Taken(None, damaged=True)
                elif frame.pts is None:
                    yield Taken(frame, None, frame.duration or None, arrival_s, damaged)
                else:
                    end_pts = frame.pts + (frame.duration or self.step_ticks)
                    first, last = covered or (frame.pts, end_pts)
                    covered = min(first, frame.pts), max(last, end_pts)
                    arrived_s = arrivals.pop(frame.pts, arrival_s)
                    yield Taken(frame, frame.pts, frame.duration or None, arrived_s, damaged)
                damaged = False
        self._check_end((covered[1] - covered[0]) * self.time_base if covered else Fraction(0))

    def _packets(self) -> Iterator[av.Packet[av.VideoStream] | None]:
        """The stream's packets, None where one cannot be read, and an empty one that flushes the decoder.

        Reading goes on after what cannot be read, but not for ever: at the end of a cut file FFmpeg may say so each
        time it is asked.
        """
        failures = 0
        while failures < _READ_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0 if packet.size else failures
                    yield packet
                return
            except (av.InvalidDataError, av.EOFError):
                failures += 1
                yield None
            except (av.FFmpegError, OSError) as error:
                raise explanation(self._source, error) from None
        self._unreadable = True
        yield cast(av.Packet[av.VideoStream], av.Packet())

    def _check_end(self, covered: Fraction) -> None:
        path = Path(self._source.url)
        missing = None
        if self._source.kind == "file":
            with explained(self._source):
                missing = missing_end(path) if path.is_file() else None
        declared_s, covered_s = self.info.duration_s or 0.0, float(covered)
        alone = self._source.kind == "file" and len(self._container.streams) == 1
        if missing is None and alone and self._container.format.name in _DURATION_FORMATS:
            short_s = declared_s - covered_s
            if short_s > max(_SHORT_S, _SHORT_SHARE * declared_s, 2 * float(self.step_ticks * self.time_base)):
                missing = f"{short_s:.1f} of {declared_s:.1f} seconds are missing"
        if missing:
            raise SourceTruncated(
                f"{self._source.name} ends too early, {missing}: the frames before are kept, copy or record it again."
            )
        if self._unreadable:
            raise undecodable(self._source, _READ_FAILURES)

    def close(self) -> None:
        self._container.close()


class ImagesFeed:
    """A folder of images, or one image, at a fixed rate; an image that cannot be read is a damaged packet."""

    created_s: float | None = None
    sample_aspect_ratio: Fraction | None = None
    step_ticks = 1

    def __init__(self, source: Source, settings: DecodeSettings, clock: Clock) -> None:
        self._source, self._settings, self._clock = source, settings, clock
        self.time_base = 1 / (source.rate or Fraction(25))
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
            rate = float(1 / self.time_base)
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

    def close(self) -> None:
        """Every image is closed as soon as it is read."""


def open_feed(source: Source, settings: DecodeSettings, clock: Clock) -> Feed:
    """The feed for a source's kind. Raises `SourceError`."""
    if source.kind == "images":
        return ImagesFeed(source, settings, clock)
    return ContainerFeed(source, settings, clock)


def _creation_s(metadata: dict[str, str]) -> float | None:
    """Seconds since 1970 of `creation_time`; None where it is absent or a placeholder (1904, 1970)."""
    try:
        created = dt.datetime.fromisoformat(metadata["creation_time"].strip())
    except (KeyError, ValueError):
        return None
    if created.tzinfo is None:
        created = created.replace(tzinfo=dt.UTC)
    return created.timestamp() if created.year > 1970 else None
