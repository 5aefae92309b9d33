"""A source as frames with their times: the edge where FFmpeg ends and our own words begin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType

import av

from streamer.clock import Clock
from streamer.config import ConnectSettings, DecodeSettings
from streamer.decode.feeds import DecoderInfo, Feed, Taken, open_feed
from streamer.decode.media_clock import MediaClock
from streamer.decode.opening import check_size, undecodable
from streamer.errors import NotAVideo, ResolutionChanged, SourceUnsupported
from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.source import Address, Source
from streamer.types import Counters, Frame, TimeOrigin

_CLOSE_WAIT_S = 0.5
_PACE_STEP_S = 0.05


class Decoder:
    """Frames of one source, read once, by one thread; `interrupt` and `close` may come from another.

    `info`: what the source says about itself. `counters.decoded` and `counters.corrupt_packets` count as it goes.
    `media_clock` is the whole state of its times.
    """

    def __init__(self, source: Source, feed: Feed, settings: DecodeSettings, clock: Clock) -> None:
        self.source = source
        self.info: DecoderInfo = feed.info
        self.counters = Counters()
        self.media_clock = MediaClock(feed.time_base, feed.step_ticks)
        self._feed, self._settings, self._clock = feed, settings, clock
        self._stop = threading.Event()
        self._reading = threading.Lock()
        self._started_s: float | None = None
        self._join_at_s = 0.0
        self._display_wh: tuple[int, int] | None = None
        self.beat_s = clock.monotonic_s()
        self.keyframes_only = False

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order they are shown, until the source ends or `interrupt` or `close` is called.

        Raises, after the frames before it: `ResolutionChanged`, `AbsurdDimensions`, `SourceDamaged` (more than
        `max_damaged_packets` in a row), `SourceTruncated`, `SourceUnreachable`, `NotAVideo` (no frame at all).
        In live mode files and test sources are paced by their media time.
        """
        reads = self._feed.read()
        in_a_row = 0
        try:
            while True:
                with self._reading:
                    taken = None if self._stop.is_set() else next(reads, None)
                self.beat_s = self._clock.monotonic_s()
                if taken is None:
                    break
                self.counters.corrupt_packets += taken.damaged
                if taken.frame is None:
                    in_a_row += 1
                    if in_a_row > self._settings.max_damaged_packets:
                        raise undecodable(self.source, in_a_row)
                    continue
                in_a_row = 0
                frame = self._frame(taken)
                if self._stop.is_set():
                    break
                yield frame
            if self.counters.decoded == 0 and not self._stop.is_set():
                if in_a_row:
                    raise undecodable(self.source, in_a_row)
                raise NotAVideo(f"{self.source.name} opens as a video but holds no frames: record or copy it again.")
        finally:
            self.close()

    def _frame(self, taken: Taken) -> Frame:
        assert taken.frame is not None
        picture = self._picture(taken)
        moment = self.media_clock.place(taken.pts, taken.duration_ticks)
        arrival_s = taken.arrival_s
        if self.source.mode == "live":
            if self.source.kind != "webcam":
                arrival_s = self._pace(moment.media_time_s)
            capture_time_s: float | None = self._clock.wall_s() - (self._clock.monotonic_s() - arrival_s)
            origin: TimeOrigin = "arrival"
        elif self._feed.created_s is not None:
            capture_time_s, origin = self._feed.created_s + moment.media_time_s, "container"
        else:
            capture_time_s, origin = None, "none"
        index = self.counters.decoded
        self.counters.decoded += 1
        return Frame(
            self.source.stream,
            index,
            moment.segment,
            moment.pts,
            self._feed.time_base,
            moment.media_time_s,
            capture_time_s,
            origin,
            arrival_s,
            picture,
        )

    def _picture(self, taken: Taken) -> Picture:
        frame = taken.frame
        assert frame is not None
        check_size(self.source, frame.width, frame.height, self._settings.max_pixels)
        try:
            picture = picture_of(frame, self._feed.sample_aspect_ratio)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceUnsupported(
                f"{self.source.name} has pictures in the pixel format {frame.format.name}, which FFmpeg cannot "
                "convert: convert the file to yuv420p."
            ) from error
        size = (picture.width, picture.height)
        before = self._display_wh or size
        if before != size:
            raise ResolutionChanged(
                f"{self.source.name} changes from {before[0]} x {before[1]} to {size[0]} x {size[1]} after "
                f"{self.counters.decoded} frames: those are kept, split it there and read the parts as two sources."
            )
        self._display_wh = size
        return picture

    def _pace(self, media_time_s: float) -> float:
        """Wait until it is a frame's turn; its arrival on the monotonic clock."""
        if media_time_s < self._join_at_s:
            return self._clock.monotonic_s()
        if self._started_s is None:
            self._started_s = self._clock.monotonic_s() - media_time_s
        while (left_s := self._started_s + media_time_s - self._clock.monotonic_s()) > 0 and not self._stop.is_set():
            self._clock.sleep(min(left_s, _PACE_STEP_S))
            self.beat_s = self._clock.monotonic_s()
        return self._clock.monotonic_s()

    def join_at(self, media_time_s: float) -> None:
        """Be where a source that never stopped would be: earlier frames come at once, pacing begins from there."""
        self._join_at_s = media_time_s

    def interrupt(self) -> None:
        """End the iteration after the packet being read; returns at once. A network read ends by its own time limit."""
        self._stop.set()

    def close(self) -> None:
        """End the iteration and free the source. Safe from any thread and more than once.

        While another thread is inside of a read it is that thread that frees the source when the read ends, since
        FFmpeg must not be closed under it.
        """
        self._stop.set()
        if self._reading.acquire(timeout=_CLOSE_WAIT_S):
            try:
                self._feed.close()
            finally:
                self._reading.release()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(
    source: Source,
    settings: DecodeSettings,
    clock: Clock,
    connect: ConnectSettings = ConnectSettings(),  # noqa: B008 (immutable)
    address: Address | None = None,
) -> Decoder:
    """A decoder for `source`, opened: headers are read, no frame yet. Raises the `SourceError` that fits."""
    return Decoder(source, open_feed(source, settings, clock), settings, clock)
