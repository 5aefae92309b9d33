from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamer.bench.scenes import DURATION_S, KINDS, Kind, make
from streamer.bench.tracking import follow, ours, run
from streamer.config import TrackSettings


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return run(seed=7, n_scenes=24)


def test_the_tracker_keeps_faces_apart(figures: dict[str, Any]) -> None:
    """Six in a hundred detections are missing, which bounds IDF1 by about 0.967."""
    tracker = figures["tracker"]
    assert tracker["idf1"] >= 0.935
    assert tracker["precision"] >= 0.985
    assert tracker["swaps"] <= 1
    assert tracker["switches"] <= 8


def test_the_tracker_beats_the_plain_one_on_every_kind(figures: dict[str, Any]) -> None:
    for kind in KINDS:
        both = figures["by_kind"][kind]
        assert both["tracker"]["idf1"] > both["greedy_iou"]["idf1"] + 0.02, kind
        assert both["tracker"]["recall"] > both["greedy_iou"]["recall"], kind
    assert figures["tracker"]["swaps"] < figures["greedy_iou"]["swaps"]


@pytest.mark.parametrize("kind", ["crossing", "hiding", "meeting", "zoom"])
def test_no_face_takes_over_the_track_of_another(figures: dict[str, Any], kind: Kind) -> None:
    """A false detection next to a missed face can still lead its track away once in a while."""
    assert figures["by_kind"][kind]["tracker"]["swaps"] == 0
    assert figures["by_kind"][kind]["tracker"]["switches"] <= 1


def test_the_thresholds_can_fail() -> None:
    """A tracker that forgets at once must not pass for a good one."""
    scenes = [make("hiding", np.random.default_rng([7, i])) for i in range(2)]
    forgetful = [follow(scene, ours(TrackSettings(lost_after_s=1e-3))) for scene in scenes]
    assert sum(one.switches for one in forgetful) > 10
    assert max(one.idf1 for one in forgetful) < 0.8


def test_the_same_seed_gives_the_same_figures() -> None:
    assert run(seed=3, n_scenes=6) == run(seed=3, n_scenes=6)


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_are_what_they_say(kind: Kind) -> None:
    scene = make(kind, np.random.default_rng(11))
    assert len(scene.times_s) == len(scene.truth) == len(scene.detections)
    assert (np.diff(scene.times_s) > 0).all()
    assert 9 <= len(scene.times_s) / DURATION_S <= 32
    faces = sum(len(numbers) for numbers, _ in scene.truth)
    found = sum(len(one) for one in scene.detections)
    assert faces > len(scene.times_s) / 4
    assert 0.85 < found / faces < 1.05
    for one in scene.detections:
        assert one.boxes_xyxy.dtype == one.points_xy.dtype == np.float32
