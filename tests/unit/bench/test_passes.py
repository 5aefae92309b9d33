from __future__ import annotations

import msgspec
import pytest

from streamer.bench.passes import compare
from streamer.messages import Observation
from tests.golden.records import OBSERVATION

SURE = (0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0)
CLOSE = (0.52, 0.48, 0.0, 0.0, 0.0, 0.0, 0.0)


def seen(
    label: str | None = "Happy", left: float = 0.1, probs: tuple[float, ...] = SURE, valence: float = 0.5
) -> Observation:
    return msgspec.structs.replace(
        OBSERVATION, label=label, box_xywh=(left, 0.1, 0.2, 0.2), probs=probs, valence=valence
    )


def test_the_same_run_agrees_wholly() -> None:
    run = {0: [seen()], 1: [seen(left=0.1), seen("Sad", left=0.6)]}
    agreement = compare(run.items(), run)
    assert agreement["labels_equal"] == agreement["clear_labels_equal"] == agreement["faces_found_again"] == 1.0
    assert (agreement["faces_more"], agreement["labels_compared"], agreement["valence_difference_mean"]) == (0, 3, 0.0)


def test_faces_are_paired_by_place_not_by_order() -> None:
    every = {0: [seen("Happy", 0.1), seen("Sad", 0.6)]}
    assert compare(every.items(), {0: every[0][::-1]})["labels_equal"] == 1.0


def test_another_label_a_lost_face_and_one_more_are_told_apart() -> None:
    every = {0: [seen("Happy")], 1: [seen("Happy")], 2: [seen("Happy", probs=CLOSE)], 3: []}
    gated = {0: [seen("Sad", valence=0.25)], 2: [seen("Sad")], 3: [seen()]}
    agreement = compare(every.items(), gated)
    assert agreement["faces_found_again"] == pytest.approx(2 / 3)
    assert agreement["faces_more"] == 1
    assert (agreement["labels_equal"], agreement["clear_labels_equal"], agreement["labels_compared"]) == (0.0, 0.0, 2)
    assert agreement["valence_difference_mean"] == pytest.approx(0.125)


def test_a_label_that_hardly_led_is_no_clear_one() -> None:
    every = {0: [seen("Happy", probs=CLOSE)], 1: [seen("Happy")]}
    agreement = compare(every.items(), {0: [seen("Sad")], 1: [seen("Happy")]})
    assert (agreement["labels_equal"], agreement["clear_labels_equal"]) == (0.5, 1.0)


def test_a_face_far_away_is_not_the_same() -> None:
    agreement = compare({0: [seen(left=0.1)]}.items(), {0: [seen(left=0.5)]})
    assert (agreement["faces_found_again"], agreement["faces_more"], agreement["labels_equal"]) == (0.0, 1, None)
