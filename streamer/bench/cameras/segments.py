"""A clip cut into HLS or DASH segments in real time, for ever, by FFmpeg's own writers inside PyAV."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.container import OutputContainer

from streamer.errors import UsageError

Form = Literal["ts", "fmp4", "dash"]
_TIME_BASE = Fraction(1, 90000)


class Segments(threading.Thread):
    """Writes a playlist (`live.m3u8`, `live.mpd`) and a sliding window of segments into `folder` until stopped.

    Capture times are `EXT-X-PROGRAM-DATE-TIME` with HLS. `clip` is H.264 without B-frames whose key frames are no
    further apart than `target_s`.
    """

    def __init__(self, clip: Path, folder: Path, form: Form, *, target_s: float = 1.0, n_window: int = 6) -> None:
        super().__init__(daemon=True, name="segments")
        self._clip, self._folder, self._form = clip, folder, form
        self._target_s, self._n_window = target_s, n_window
        self._stopped = threading.Event()
        self._broken = threading.Event()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.start()

    @property
    def playlist(self) -> Path:
        """What is read first."""
        return self._folder / ("live.mpd" if self._form == "dash" else "live.m3u8")

    def discontinue(self) -> None:
        """Begin with the clip and its timestamps anew at the next key frame, behind an `EXT-X-DISCONTINUITY`.

        Only of form `ts`: FFmpeg's writer names a new header for the old segments of `fmp4` too.
        """
        if self._form != "ts":
            raise UsageError("only segments of form ts can be discontinued")
        self._broken.set()

    def stop(self) -> None:
        """Write no more; the playlist stays as it is."""
        self._stopped.set()
        self.join()

    def run(self) -> None:
        """Write at the clip's own pace until stopped."""
        n_parts = 0
        while not self._stopped.is_set():
            self._broken.clear()
            self._write_part(n_parts)
            n_parts += 1

    def _write_part(self, n_before: int) -> None:
        with av.open(str(self._clip)) as source:
            video = source.streams.video[0]
            target = self._open(n_before)
            try:
                stream = target.add_stream_from_template(video)
                stream.time_base = _TIME_BASE
                began_s = time.monotonic()
                for packet, at_s in _looped(list(source.demux(video)), video.time_base or _TIME_BASE):
                    if self._stopped.wait(max(0.0, began_s + at_s - time.monotonic())):
                        break
                    if self._broken.is_set() and packet.is_keyframe:
                        break
                    packet.stream = stream
                    target.mux(packet)
            finally:
                target.close()

    def _open(self, n_before: int) -> OutputContainer:
        if self._form == "dash":
            options = {
                "seg_duration": f"{0.9 * self._target_s:g}",  # a key frame that comes a little early is in time
                "window_size": str(self._n_window),
                "extra_window_size": "4",
                "streaming": "0",
                "remove_at_exit": "0",
            }
        else:
            again = "+append_list+discont_start" if n_before else ""
            options = {
                "hls_time": f"{self._target_s:g}",
                "hls_list_size": str(self._n_window),
                "hls_delete_threshold": "4",
                "hls_flags": f"program_date_time+delete_segments+omit_endlist+temp_file{again}",
                "hls_segment_type": "fmp4" if self._form == "fmp4" else "mpegts",
            }
        return av.open(str(self.playlist), "w", format="dash" if self._form == "dash" else "hls", options=options)


def _looped(
    packets: list[av.Packet[av.VideoStream]], time_base: Fraction
) -> Iterator[tuple[av.Packet[av.VideoStream], float]]:
    """The packets again and again, their times always later; each with when it is due, in seconds from the start."""
    packets = [packet for packet in packets if packet.pts is not None and packet.dts is not None]
    times = [(packet.pts or 0, packet.dts or 0, packet.duration or 0) for packet in packets]
    start = min(pts for pts, _, _ in times)
    length = max(pts + duration for pts, _, duration in times) - start
    behind = 0
    while True:
        for packet, (pts, dts, duration) in zip(packets, times, strict=True):
            # All of it anew each time: muxing counts on in units of its own.
            packet.pts, packet.dts = pts - start + behind, dts - start + behind
            packet.duration, packet.time_base = duration, time_base
            due_s = float((pts - start + behind) * time_base)
            yield packet, due_s
        behind += length
