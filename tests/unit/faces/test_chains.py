from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from streamer.faces.chains import Chain, Found, find
from streamer.faces.refine import Refined
from streamer.types import Detections, DropCause, Frame
from tests.unit.faces.scripted import detections
from tests.unit.worker.rig import frame

FACE = (10.0, 10.0, 30.0, 30.0, 0.9)


@dataclass
class Eyes:
    """Sees one face in every picture, moved one pixel by each refinement since the search: so its place tells."""

    n_faces: int = 1
    lost_at: tuple[int, ...] = ()
    failing: tuple[int, ...] = ()
    most: int = 6
    searched: list[list[int]] = field(default_factory=list)
    refined: list[list[int]] = field(default_factory=list)
    _frames: Sequence[Frame] = ()

    def find(self, *batch: tuple[Chain, Frame], interval_s: float = 0.2) -> list[Found]:
        self._frames = [one for _, one in batch]
        return find(batch, interval_s, self._search, self._refine, lambda _: self.most)

    def _search(self, positions: Sequence[int]) -> list[Found]:
        self.searched.append([self._frames[i].index for i in positions])
        return [
            "engine_error" if self._frames[i].index in self.failing else detections(*[FACE] * self.n_faces)
            for i in positions
        ]

    def _refine(self, asked: Sequence[tuple[int, Detections]]) -> list[Refined | DropCause]:
        self.refined.append([self._frames[i].index for i, _ in asked])
        answers: list[Refined | DropCause] = []
        for i, faces in asked:
            if self._frames[i].index in self.failing:
                answers.append("not_finite")
            elif self._frames[i].index in self.lost_at:
                answers.append(Refined(Detections.none(), lost=True))
            else:
                answers.append(Refined(replace(faces, boxes_xyxy=faces.boxes_xyxy + 1), lost=False))
        return answers


def steps(found: Sequence[Found]) -> list[int | str]:
    """How many refinements ago each was searched; its cause, or that there is no face."""
    return [
        one if isinstance(one, str) else "none" if not len(one) else int(one.boxes_xyxy[0, 0]) - 10 for one in found
    ]


def video(n: int, start: int = 0, stream: str = "a") -> list[Frame]:
    """25 frames a second: cells of five."""
    return [frame(stream, start + k) for k in range(n)]


def test_the_first_frame_of_each_cell_is_searched_and_the_others_follow_the_one_before() -> None:
    eyes, chain = Eyes(), Chain()
    found = eyes.find(*((chain, one) for one in video(12)))
    assert steps(found) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert eyes.searched == [[0, 5, 10]], "all at once"
    assert eyes.refined == [[1, 6, 11], [2, 7], [3, 8], [4, 9]], "cells side by side"


def test_interval_0_searches_every_frame() -> None:
    eyes, chain = Eyes(), Chain()
    found = eyes.find(*((chain, one) for one in video(4)), interval_s=0.0)
    assert steps(found) == [0] * 4
    assert eyes.refined == []


def test_a_chain_goes_on_in_the_next_batch_and_streams_share_one() -> None:
    eyes, a, b = Eyes(), Chain(), Chain()
    assert steps(eyes.find((a, frame("a", 0)), (b, frame("b", 0)), (a, frame("a", 1)))) == [0, 0, 1]
    assert steps(eyes.find((b, frame("b", 1)), (a, frame("a", 2)), (a, frame("a", 3)))) == [1, 2, 3]
    assert eyes.searched == [[0, 0]]
    assert eyes.refined == [[1], [1, 2], [3]]


@pytest.mark.parametrize(
    "changed",
    [
        lambda one: replace(one, segment=1),
        lambda one: replace(one, picture=frame("a", 0, width=70).picture),
        lambda one: replace(one, media_time_s=0.2),
        lambda one: replace(one, media_time_s=5.0),
    ],
)
def test_whatever_changes_what_is_seen_where_begins_anew(changed: object) -> None:
    eyes, chain = Eyes(), Chain()
    assert callable(changed)
    assert steps(eyes.find((chain, frame("a", 0)), (chain, changed(frame("a", 1))))) == [0, 0]


def test_slow_streams_are_searched_in_every_frame() -> None:
    eyes, chain = Eyes(), Chain()
    slow = [replace(one, media_time_s=one.index * 0.2) for one in video(40)]  # 3 * 0.2 is not 0.6 in floating point
    assert steps(eyes.find(*((chain, one) for one in slow))) == [0] * 40


def test_a_face_that_is_lost_has_the_whole_searched_at_once() -> None:
    eyes, chain = Eyes(lost_at=(2,)), Chain()
    found = eyes.find(*((chain, one) for one in video(6)))
    assert steps(found) == [0, 1, 0, 1, 2, 0]
    assert eyes.searched == [[0, 5], [2]]


def test_where_nothing_is_known_nothing_is_done_until_the_next_search() -> None:
    eyes, chain = Eyes(n_faces=0), Chain()
    assert steps(eyes.find(*((chain, one) for one in video(6)))) == ["none"] * 6
    assert (eyes.searched, eyes.refined) == ([[0, 5]], [])


def test_a_crowd_is_searched_whole() -> None:
    eyes, chain = Eyes(n_faces=7), Chain()
    assert steps(eyes.find(*((chain, one) for one in video(3)))) == [0, 0, 0]
    assert eyes.refined == []
    eyes = Eyes(n_faces=6)
    assert steps(eyes.find(*((Chain(), one) for one in video(1)))) == [0]


def test_after_a_failure_the_whole_is_searched_in_this_batch_or_the_next() -> None:
    eyes, chain = Eyes(failing=(0, 2)), Chain()
    assert steps(eyes.find(*((chain, one) for one in video(4)))) == ["engine_error", 0, "not_finite", 0]
    eyes, chain = Eyes(failing=(1,)), Chain()
    assert steps(eyes.find(*((chain, one) for one in video(2)))) == [0, "not_finite"]
    assert chain.faces is None
    assert steps(eyes.find((chain, frame("a", 2)))) == [0]


@pytest.mark.parametrize("sizes", [[1], [2], [3], [7], [5, 1, 11]])
def test_faces_do_not_depend_on_how_frames_are_batched(sizes: list[int]) -> None:
    def run(sizes: list[int]) -> list[int | str]:
        eyes, chain, frames = Eyes(lost_at=(3, 8, 9), failing=(5, 12)), Chain(), video(30)
        found: list[int | str] = []
        at = turn = 0
        while at < len(frames):
            part = frames[at : at + sizes[turn % len(sizes)]]
            at, turn = at + len(part), turn + 1
            found += steps(eyes.find(*((chain, one) for one in part)))
        return found

    assert run(sizes) == run([30])
