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
from streamer.decode.pacing import BurstPace, FilePace, Pace
from streamer.errors import NotAVideo, ResolutionChanged, SourceUnsupported
from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.source import ENDLESS_KINDS, Address, Source
from streamer.types import Counters, Frame, TimeOrigin

_CLOSE_WAIT_S = 0.5
_PACE_STEP_S = 0.05
_FILES = frozenset(("file", "images", "http", "testsrc"))
"""Kinds that come as fast as they are read, and have a beginning."""


class Decoder:
    """Frames of one source, read once, by one thread; `interrupt` and `close` may come from another.

    `info`: what the source says about itself. `counters.decoded` and `counters.corrupt_packets` count as it goes.
    `media_clock` is the whole state of its times.
    """

    def __init__(
        self, source: Source, address: Address, feed: Feed, settings: DecodeSettings, clock: Clock, no_frame_s: float
    ) -> None:
        self.source = source
        self.info: DecoderInfo = feed.info
        self.counters = Counters()
        self.media_clock = MediaClock.of(feed.time_base, feed.rate, restarts=feed.restarts)
        self._feed, self._settings, self._clock = feed, settings, clock
        self._no_frame_s = no_frame_s
        self._live = source.mode == "live"
        self._by_arrival = self._live and source.kind in ENDLESS_KINDS and address.kind not in _FILES
        self._unstamped = self._live and address.kind == "mjpeg"  # FFmpeg makes its time stamps up
        self._pace_of: Pace | None = None
        if self._live and address.kind in ("hls", "dash"):
            self._pace_of = BurstPace()
        elif self._live and address.kind in _FILES:
            self._pace_of = FilePace()
        self._stop = threading.Event()
        self._reading = threading.Lock()
        self._join_at_s = 0.0
        self._beat_s = clock.monotonic_s()
        self._display_wh: tuple[int, int] | None = None

    @property
    def beat_s(self) -> float:
        """When there was a sign of life last, on the monotonic clock: a packet, a frame, a step of waiting for one's
        turn. While silence is to be expected (an HLS stream between two segments) it is not older than the watch's
        patience allows."""
        quiet_s = min(self._clock.monotonic_s(), self._feed.quiet_until_s - self._no_frame_s)
        return max(self._beat_s, quiet_s)

    @property
    def keyframes_only(self) -> bool:
        """Whether nothing but key frames is decoded; may be set from any thread. Begins with the next packet, ends
        with the next key frame, since what lies between cannot be decoded without those before."""
        return self._feed.keyframes_only

    @keyframes_only.setter
    def keyframes_only(self, value: bool) -> None:
        self._feed.keyframes_only = value

    @property
    def reorder_delay_s(self) -> float:
        """How much later than it could be a frame comes out because of the order of B-frames."""
        return self._feed.reorder_frames / (self.info.fps or 25.0)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order they are shown, until the source ends or `interrupt` or `close` is called.

        Raises, after the frames before it: `ResolutionChanged`, `AbsurdDimensions`, `SourceDamaged` (more than
        `max_damaged_packets` in a row), `SourceTruncated`, `SourceUnreachable`, `SourceStalled`, `SourceExpired`,
        `SourceUnauthorized`, `AddressRefused`, `NotAVideo` (no frame at all).
        In live mode files, test sources and streams of segments are paced by their media time.
        """
        reads = self._feed.read()
        in_a_row = 0
        try:
            while True:
                with self._reading:
                    taken = None if self._stop.is_set() else next(reads, None)
                if taken is None:
                    break
                self._beat_s = max(self._beat_s, taken.arrival_s)
                if taken.idle:
                    continue
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
        arrival_s = taken.arrival_s
        pts = None if self._unstamped else taken.pts
        moment = self.media_clock.place(pts, taken.duration_ticks, arrival_s if self._by_arrival else None)
        if self._pace_of is not None:
            arrival_s = self._paced(self._pace_of, moment.media_time_s)
        captured: tuple[float | None, TimeOrigin] = None, "none"
        if taken.capture is not None:
            captured = taken.capture
        elif self._live:
            captured = self._clock.wall_s() - (self._clock.monotonic_s() - arrival_s), "arrival"
        elif self._feed.created_s is not None:
            captured = self._feed.created_s + moment.media_time_s, "container"
        index = self.counters.decoded
        self.counters.decoded += 1
        return Frame(
            self.source.stream,
            index,
            moment.segment,
            moment.pts,
            self.media_clock.time_base,
            moment.media_time_s,
            captured[0],
            captured[1],
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

    def _paced(self, pace: Pace, media_time_s: float) -> float:
        """Wait until it is a frame's turn; its arrival on the monotonic clock."""
        if media_time_s < self._join_at_s:
            return self._clock.monotonic_s()
        due_s = pace.due_s(media_time_s, self._clock.monotonic_s())
        while (left_s := due_s - self._clock.monotonic_s()) > 0 and not self._stop.is_set():
            self._clock.sleep(min(left_s, _PACE_STEP_S))
            self._beat_s = self._clock.monotonic_s()
        return self._clock.monotonic_s()

    def join_at(self, media_time_s: float) -> None:
        """Be where a source that never stopped would be: earlier frames come at once, pacing begins from there."""
        self._join_at_s = media_time_s

    def interrupt(self) -> None:
        """End the iteration after the packet being read; returns at once.

        What waits for HTTP (hls, dash, mjpeg, http) ends at once too; rtsp, rtmp, srt and webcams by FFmpeg's own time
        limit, a second after `connect.no_frame_s`.
        """
        self._stop.set()
        self._feed.interrupt()

    def close(self) -> None:
        """End the iteration and free the source. Safe from any thread and more than once.

        While another thread is inside of a read it is that thread that frees the source when the read ends, since
        FFmpeg must not be closed under it.
        """
        self.interrupt()
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
    """A decoder for `source`, opened: headers are read, no frame yet. Raises the `SourceError` that fits.

    `address` is where it lies; the source's own where it is not given.
    """
    there = address or Address(source.url, source.kind)
    feed = open_feed(source, there, settings, clock, connect)
    return Decoder(source, there, feed, settings, clock, connect.no_frame_s)
