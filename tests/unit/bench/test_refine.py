from __future__ import annotations

import msgspec
import pytest

from streamer.bench.passes import Pass
from streamer.bench.refine import new_face_delay_s, of_clip, overall, table
from streamer.messages import Observation, Track
from tests.golden.records import OBSERVATION

SURE = (0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0)


def seen(at_s: float, track: int = 1, left: float = 0.1, label: str = "Happy") -> Observation:
    return msgspec.structs.replace(
        OBSERVATION,
        media_time_s=at_s,
        track=Track(epoch=OBSERVATION.track.epoch, number=track),
        box_xywh=(left, 0.1, 0.2, 0.2),
        probs=SURE,
        label=label,
    )


def test_a_new_face_is_as_late_as_its_first_frame_in_the_saving_run() -> None:
    every = {n: [seen(n / 10, 1), seen(n / 10, 2, 0.6)] if n >= 2 else [seen(n / 10, 1)] for n in range(6)}
    saving = {n: [seen(n / 10, 1), seen(n / 10, 7, 0.6)] if n >= 4 else [seen(n / 10, 1)] for n in range(6)}
    assert new_face_delay_s(every, every) == {"tracks": 2, "max": 0.0, "never": 0}
    assert new_face_delay_s(every, saving) == {"tracks": 2, "max": pytest.approx(0.2), "never": 0}
    alone = {n: faces[:1] for n, faces in every.items()}
    assert new_face_delay_s(every, alone) == {"tracks": 2, "max": 0.0, "never": 1}
    assert new_face_delay_s({}, {}) == {"tracks": 0, "max": None, "never": 0}


def test_clips_count_by_their_faces_and_speed_is_the_ratio_of_medians() -> None:
    every = [Pass({0: [seen(0.0)], 1: [seen(0.1)]}, 2, 2, 0, 2, cpu_s) for cpu_s in (4.0, 6.0, 50.0)]
    saving = [Pass({0: [seen(0.0)], 1: [seen(0.1, label="Sad")]}, 2, 1, 1, 2, cpu_s) for cpu_s in (1.0, 3.0, 2.0)]
    other = [Pass({0: [], 1: []}, 2, 1, 0, 0, 1.0)]
    clip, empty = of_clip(every, saving), of_clip(other, other)
    assert (clip["searches"], clip["squares"], clip["speed"], clip["clear_labels_equal"]) == (1, 1, 3.0, 0.5)
    whole = overall([clip, empty])
    assert (whole["frames"], whole["clear_compared"], whole["clear_labels_equal"]) == (4, 2, 0.5)
    assert whole["faces_found_again"] == 1.0
    settings = {"interval_s": 0.2, "region_px": 96}
    clips = {"a": clip, "b": empty}
    shown = table({"settings": settings, "clips": clips, "all": whole, "all_rendered": whole})
    assert "3.00x" in shown
    assert shown.count("0.500 of 2 clear labels") == 2
