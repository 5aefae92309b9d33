"""Live streams measured from outside, in short: the ground that `streamer plan` and `streamer bench plan` stand on."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from engines.zoo.sample import fetch_sample
from streamer.bench.clips import loop_clip
from streamer.bench.live_run import run_live, shown_at
from streamer.config import Config, WorkerSettings

RATE = 5


def test_a_clip_is_shown_at_another_size_and_rate(tmp_path: Path) -> None:
    made = tmp_path / "made.mp4"
    with av.open(str(made), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode(None))
    shown = shown_at(made, tmp_path / "shown.mp4", width=128, height=96, rate=5)
    with av.open(str(shown)) as source:
        frames = list(source.decode(video=0))
        assert (frames[0].width, frames[0].height, len(frames)) == (128, 96, 6)
        assert source.streams.video[0].average_rate == 5


@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_what_a_stream_costs_and_brings_is_measured(tmp_path: Path) -> None:
    once = shown_at(fetch_sample(), tmp_path / "once.mp4", width=320, height=256, rate=RATE)
    loop_clip(once, tmp_path / "shown.mp4", 90.0)
    (tmp_path / "run").mkdir()
    config = Config(worker=WorkerSettings(children=1))
    found = run_live(tmp_path / "shown.mp4", config, 2, folder=tmp_path / "run", measure_s=3.0)
    assert 0 < found.decoded_fps < 2 * RATE * 1.3, "a machine that is busy gives less"
    assert 0 < found.analysed_fps <= found.decoded_fps * 1.1
    assert found.faces_per_frame == pytest.approx(1.0, abs=0.2)
    assert 0 <= found.supervisor_cpu_s_per_s < found.cpu_s_per_s, "the supervisor may do less than a tick of the clock"
    assert found.memory_bytes > found.supervisor_memory_bytes > 1e7
    assert found.bytes_by_topic["observations"][1] > 100 * found.bytes_by_topic["observations"][0] > 0
    assert found.bytes_by_topic["stream_snapshot"][0] > 0
    assert min(found.latencies_s) > 0
    assert found.run.stage_s["decode"] > 0
