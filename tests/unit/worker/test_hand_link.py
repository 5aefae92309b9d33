from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streamer.types import Detections, Embedding, Sight
from streamer.worker.hand_link import FromHand, Seen, SentSight, received, sent, sights_of
from tests.unit.faces.scripted import detections

ANSWER = Embedding(np.array([0.5, -1.0], np.float32), np.full(7, 1 / 7, np.float32), 0.25, None)
SEEN = Sight(detections((1, 2, 30, 40, 0.9), (50, 2, 80, 40, 0.5)), (ANSWER, "not_finite"))


def through_bytes(*sights: Sight) -> Seen:
    message = Seen(sights=tuple(sent(one) for one in sights), wall_s=0.5, stage_s={"detect": 0.25})
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=FromHand)
    assert isinstance(back, Seen)
    return back


def test_a_sight_comes_back_bit_for_bit() -> None:
    seen, failed, empty = sights_of(through_bytes(SEEN, Sight("engine_error"), Sight(Detections.none())), 3)
    np.testing.assert_equal(sent(seen), sent(SEEN))
    assert isinstance(seen.found, Detections)
    assert seen.found.points_xy.shape == (2, 5, 2)
    assert seen.found.boxes_xyxy.flags.writeable
    assert seen.answers[1] == "not_finite"
    assert failed == Sight("engine_error")
    assert isinstance(empty.found, Detections)
    assert len(empty.found) == 0


@pytest.mark.parametrize(
    "damaged",
    [
        SentSight(scores=b"123"),
        SentSight(scores=bytes(8), boxes_xyxy=bytes(16)),
        msgspec.structs.replace(sent(SEEN), answers=()),
        msgspec.structs.replace(sent(SEEN), points_xy=b""),
    ],
)
def test_what_cannot_be_a_sight_is_refused(damaged: SentSight) -> None:
    with pytest.raises(ValueError, match=r"buffer size|reshape|answers about"):
        received(damaged)


def test_answers_to_another_number_of_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="1 sights of 2"):
        sights_of(through_bytes(SEEN), 2)
