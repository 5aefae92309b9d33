from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamer.errors import SnapshotRefused
from streamer.faces.chains import Chain
from streamer.faces.gates import Gate, Given, Look
from streamer.faces.standing import Standing
from streamer.state.codec import seal, unseal
from streamer.types import Detections, Embedding


def standing() -> Standing:
    cells = np.arange(24, dtype=np.uint8).reshape(4, 6)
    found = Detections(
        np.arange(8, dtype=np.float32).reshape(2, 4),
        np.arange(20, dtype=np.float32).reshape(2, 5, 2),
        np.array([0.9, 0.5], np.float32),
        np.array([30, 20], np.float32),
    )
    one = Standing(analysed=frozenset({7, 2}))
    one.scene.last = Given(Look((64, 48), cells), 1.25, found)
    said = Embedding(np.array([0.1, 0.2], np.float32), np.full(7, 1 / 7, np.float32), 0.5, None)
    one.chain = Chain((1, 64, 48, 12), found)
    one.faces[7] = Gate(Given(Look((8, 8), np.zeros((2, 2, 3), np.uint8)), 1.0, said))
    return one


def through_bytes(snapshot: dict[str, Any]) -> dict[str, Any]:
    return unseal(seal(b"k", "stream", "s", 0, 0, snapshot), b"k")[1]


def test_what_stands_survives_a_snapshot_bit_for_bit() -> None:
    before = standing().snapshot(exact=True)
    after = Standing.restored(through_bytes(before))
    np.testing.assert_equal(after.snapshot(exact=True), before)
    assert after.analysed == {2, 7}
    assert after.chain.place == (1, 64, 48, 12)
    last = after.faces[7].last
    assert last is not None
    assert last.answer is not None
    assert (last.answer.valence, last.answer.arousal) == (0.5, None)


def test_whoever_takes_over_a_live_stream_asks_anew_but_goes_on_with_the_same_faces() -> None:
    after = Standing.restored(through_bytes(standing().snapshot(exact=False)))
    assert after == Standing(analysed=frozenset({2, 7}))


def test_nothing_is_kept_of_nothing_and_an_older_snapshot_holds_none() -> None:
    assert Standing().snapshot(exact=True) == {}
    assert Standing.restored({"version": 1}) == Standing()


def test_a_search_without_faces_is_kept_too() -> None:
    one = Standing()
    one.scene.last = Given(Look((64, 48), np.zeros((4, 6), np.uint8)), 0.5, Detections.none())
    after = Standing.restored(through_bytes(one.snapshot(exact=True)))
    assert after.scene.last is not None
    assert after.scene.last.answer is not None
    assert len(after.scene.last.answer) == 0
    assert after.scene.last.answer.points_xy.shape == (0, 5, 2)


@pytest.mark.parametrize(
    "damage",
    [
        {"at_s": float("nan")},
        {"at_s": "soon"},
        {"whole_wh": [1]},
        {"cells": [[1, 2]]},
        {"cells": np.zeros((4, 6), np.float32)},
        {"scores": np.zeros(3, np.float32)},
        {"boxes_xyxy": np.full((2, 4), np.nan, np.float32)},
        {"points_xy": None},
    ],
)
def test_damage_is_refused(damage: dict[str, Any]) -> None:
    kept = standing().snapshot(exact=True)
    with pytest.raises(SnapshotRefused, match="stands"):
        Standing.restored(kept | {"scene": kept["scene"] | damage})


@pytest.mark.parametrize("damage", [{"scene": 3}, {"faces": [3]}, {"faces": 3}, {"analysed": ["x"]}, {"analysed": 3}])
def test_what_is_none_of_this_program_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(SnapshotRefused, match="stands"):
        Standing.restored(damage)
