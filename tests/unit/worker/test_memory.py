"""A child's memory over many sources: it reaches its height with the first ones and stays there."""

from __future__ import annotations

from pathlib import Path

import psutil

from streamer.worker.link import Drain, Ended
from tests.unit.worker.rig import Running, config_for, models, video_source
from tests.videos import pattern

SIZE, N_FRAMES = (640, 360), 25
AT_ONCE, N_FIRST, N_MORE = 8, 24, 40
PICTURES_MB = N_MORE * N_FRAMES * SIZE[0] * SIZE[1] * 1.5 / 1e6
"""What the pictures of all the later sources take together."""
ALLOWED = 0.15
"""The share of them that may be in memory at the end. Nearly all were while only the garbage collector freed them."""


def _watch(child: Running, video: Path, first: int, n: int) -> None:
    for number in range(first, first + n):
        child.open(video_source(video, f"video{number}"))
    child.wait_for(Ended, first + n)


def test_memory_does_not_grow_with_the_number_of_sources(tmp_path: Path) -> None:
    video = pattern(tmp_path / "bars.mp4", size=SIZE, n_frames=N_FRAMES)
    child = Running(config_for(tmp_path), models())
    process = psutil.Process()
    resident_mb = []
    for first in range(0, N_FIRST + N_MORE, AT_ONCE):
        _watch(child, video, first, AT_ONCE)
        resident_mb.append(process.memory_info().rss / 1e6)
    grown_mb = resident_mb[-1] - max(
        resident_mb[: N_FIRST // AT_ONCE]
    )  # how full the queues get is not always the same
    child.loop.tell(Drain())
    child.end()
    assert child.error is None
    assert sum(one.result.analysed for one in child.ended()) == (N_FIRST + N_MORE) * N_FRAMES
    assert grown_mb < ALLOWED * PICTURES_MB
