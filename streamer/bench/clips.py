"""Longer videos out of short ones, without encoding anything again."""

from __future__ import annotations

from pathlib import Path

import av

from streamer.errors import NotAVideo


def loop_clip(clip: Path, target: Path, duration_s: float) -> float:
    """Write `clip` repeated until it lasts `duration_s`; returns the duration reached, in seconds.

    Packets are copied with their times moved on, so that decoding costs what it costs for the clip itself.
    """
    with av.open(str(clip)) as source:
        video = source.streams.video[0]
        packets = [packet for packet in source.demux(video) if packet.pts is not None and packet.dts is not None]
        if not packets or video.time_base is None:
            raise NotAVideo(f"{clip} has no video packets to repeat: choose another clip")
        times = [(packet.pts or 0, packet.dts or 0) for packet in packets]
        start = min(pts for pts, _ in times)
        length = max((packet.pts or 0) + (packet.duration or 0) for packet in packets) - start
        once_s = float(length * video.time_base)
        n_loops = max(1, -int(-duration_s // once_s))
        with av.open(str(target), "w") as out:
            stream = out.add_stream_from_template(video)
            for loop in range(n_loops):
                for packet, (pts, dts) in zip(packets, times, strict=True):
                    packet.pts = pts - start + loop * length
                    packet.dts = dts - start + loop * length
                    packet.stream = stream
                    out.mux(packet)
    return n_loops * once_s
