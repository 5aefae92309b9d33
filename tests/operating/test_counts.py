"""For a known video the counters of a real scrape add up to its frames, and to what is on the bus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.control.scrape import Scrape
from tests.operating.process import Shown
from tests.product import ONE_FACE, needs_clips, observations, raw, until
from tests.videos import pattern

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
N_FRAMES = 72
CAUSES = ("queue_full", "sample_rate", "late", "closed")


def dropped(told: Scrape, stream: str) -> float:
    return told.total("streamer_frames_dropped_total", stream=stream)


def check_sum(told: Scrape, stream: str) -> None:
    decoded = told.total("streamer_frames_decoded_total", stream=stream)
    assert decoded == told.total("streamer_frames_analysed_total", stream=stream) + dropped(told, stream)
    assert told.values("streamer_frames_dropped_total", "cause") == sorted(CAUSES)


@needs_clips
def test_of_a_file_every_frame_face_and_record_is_counted(start_run: Callable[..., Shown], tmp_path: Path) -> None:
    one = start_run(f"face={ONE_FACE}", "--control", "0")
    until(lambda: one.asked.scrape().total("streamer_source_state", stream="face", state="ended") == 1, "it has ended")
    until(lambda: one.asked.scrape().total("streamer_ready") == 1, "it is ready")
    told = one.asked.scrape()
    assert told.total("streamer_frames_decoded_total", stream="face") == N_FRAMES
    assert told.total("streamer_frames_analysed_total", stream="face") == N_FRAMES
    assert dropped(told, "face") == told.total("streamer_faces_dropped_total", stream="face") == 0
    assert told.total("streamer_corrupt_packets_total", stream="face") == 0
    check_sum(told, "face")

    on_the_bus = {
        topic: len(raw(tmp_path / "affect.db", f"archive.{topic}")) for topic in ("observations", "windows", "tracks")
    }
    assert told.total("streamer_faces_total", stream="face") == on_the_bus["observations"] == N_FRAMES
    assert told.total("streamer_records_total", stream="face") == sum(on_the_bus.values())
    assert told.total("streamer_records_published_total") >= sum(on_the_bus.values())

    # Each frame is in one batch, is decoded once, and its faces are in that batch.
    assert told.total("streamer_batch_frames_sum") == N_FRAMES
    assert told.total("streamer_batch_faces_sum") == N_FRAMES
    assert told.total("streamer_stage_duration_seconds_count", stage="decode") == N_FRAMES
    n_batches = told.total("streamer_batch_frames_count")
    for stage in ("track", "align", "embed", "state"):
        assert told.total("streamer_stage_duration_seconds_count", stage=stage) == n_batches
    for stage in ("decode", "detect", "refine", "embed", "publish"):
        assert told.total("streamer_stage_cpu_seconds_total", stage=stage) > 0
    assert told.total("streamer_child_resident_memory_bytes") > 50e6
    assert one.end() in (0, 130)


def test_of_a_live_source_what_was_not_analysed_has_its_cause(start_run: Callable[..., Shown], tmp_path: Path) -> None:
    clip = pattern(tmp_path / "pattern.mp4")
    one = start_run(f"slow={clip}", "--mode", "live", "--sample-fps", "2", "--control", "0")
    until(lambda: one.asked.scrape().total("streamer_source_state", stream="slow", state="ended") == 1, "it has ended")
    told = one.asked.scrape()
    assert told.total("streamer_frames_dropped_total", stream="slow", cause="sample_rate") > 0
    assert told.total("streamer_frames_decoded_total", stream="slow") > told.total("streamer_frames_analysed_total")
    check_sum(told, "slow")
    assert one.end() in (0, 130)


def test_with_metrics_alone_a_run_ends_by_itself_and_takes_no_changes(
    start_run: Callable[..., Shown], tmp_path: Path
) -> None:
    one = start_run("short=testsrc://160x120@10?duration=8", "--mode", "live")
    until(one.is_ready, "its models are warm")
    import http.client

    url = one.url()
    assert url is not None
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("DELETE", "/streams/short")
    assert connection.getresponse().status == 405
    connection.close()
    assert one.url("control") is None
    assert one.process.wait(120) == 0
    assert not observations(tmp_path / "affect.db")
