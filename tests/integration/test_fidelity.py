"""The pipeline's labels against a plain loop over the same weights, frame by frame, on every shared clip.

With every picture searched whole, as the loop does; and as it comes, which searches at an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.spec import EXPRESSIONS
from engines.zoo import load
from streamer.messages import Observation
from tests.product import CLIPS, needs_clips, observations, streamer
from tests.straight_loop import Seen, StraightLoop, overlap

pytestmark = [pytest.mark.clips, pytest.mark.models, pytest.mark.usefixtures("models"), needs_clips]
SMALL_FACES = "moviepy_chaplin"
"""Faces of about 15 px: points and labels are poor there whoever finds them, and the product gives no label."""


@dataclass(frozen=True)
class Pair:
    """A face of the loop and ours of the same place and frame, if there is one."""

    clip: str
    loop: Seen
    ours: Observation | None

    @property
    def agrees(self) -> bool:
        return self.ours is not None and self.ours.bare.label == EXPRESSIONS[int(self.loop.probs.argmax())]


@pytest.fixture(scope="module")
def loop() -> StraightLoop:
    return StraightLoop(load("centerface").path, load("face-api").path)


@pytest.fixture(scope="module")
def clips() -> list[Path]:
    return sorted(path for path in CLIPS.iterdir() if path.suffix in (".mp4", ".mov", ".gif"))


@pytest.fixture(scope="module")
def ours(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    return run_of(clips, tmp_path_factory.mktemp("ours"), "--search-every", "0")


@pytest.fixture(scope="module")
def refined(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    return run_of(clips, tmp_path_factory.mktemp("refined"))


def run_of(clips: list[Path], folder: Path, *options: str) -> list[Observation]:
    done = streamer("run", *clips, "--quiet", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return observations(folder / "affect.db")


@pytest.fixture(scope="module")
def refined_pairs(clips: list[Path], loop: StraightLoop, refined: list[Observation]) -> list[Pair]:
    return [pair for clip in clips for pair in matched(clip.stem, loop.run(clip), refined)]


@pytest.fixture(scope="module")
def pairs(clips: list[Path], loop: StraightLoop, ours: list[Observation]) -> list[Pair]:
    return [pair for clip in clips for pair in matched(clip.stem, loop.run(clip), ours)]


def test_faces_are_found_where_the_loop_finds_them(pairs: list[Pair]) -> None:
    assert len(pairs) > 300
    for clip in {pair.clip for pair in pairs}:
        found = np.array([pair.ours is not None for pair in pairs if pair.clip == clip])
        assert found.mean() >= 0.95, clip


def test_labels_agree_with_the_loop(pairs: list[Pair]) -> None:
    found = [pair for pair in pairs if pair.ours is not None and pair.clip != SMALL_FACES]
    agrees = np.array([pair.agrees for pair in found])
    clear = np.array([pair.loop.margin >= 0.1 for pair in found])
    assert agrees.mean() >= 0.95
    assert agrees[clear].mean() >= 0.99


def test_probabilities_agree_with_the_loop_and_not_with_swapped_colours(
    pairs: list[Pair], clips: list[Path], ours: list[Observation], loop: StraightLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels forgive much; calibrated probabilities do not: wrong colours move them far more than our other path."""
    classify = StraightLoop._classify
    monkeypatch.setattr(StraightLoop, "_classify", lambda self, rgb, at: classify(self, rgb[..., ::-1].copy(), at))
    swapped = [pair for clip in clips if clip.stem != SMALL_FACES for pair in matched(clip.stem, loop.run(clip), ours)]
    right = [pair for pair in pairs if pair.clip != SMALL_FACES]
    assert distance(right) < 0.025
    assert distance(swapped) > 2 * distance(right)


def test_as_it_comes_faces_have_fresh_points_in_every_frame_and_labels_agree(refined_pairs: list[Pair]) -> None:
    seen = [pair for pair in refined_pairs if pair.clip != SMALL_FACES]
    assert np.mean([pair.ours is not None for pair in seen]) >= 0.99
    found = [pair for pair in seen if pair.ours is not None]
    clear = [pair for pair in found if pair.loop.margin >= 0.1]
    assert np.mean([pair.agrees for pair in found]) >= 0.95
    assert np.mean([pair.agrees for pair in clear]) >= 0.97
    assert distance(seen) < 0.08


def distance(pairs: list[Pair]) -> float:
    """The largest difference of a calibrated probability, averaged over faces."""
    temperature = load("face-api").spec.calibration.temperature
    return float(
        np.mean(
            [
                np.abs(np.array(pair.ours.bare.probs) - tempered(pair.loop.probs, temperature)).max()
                for pair in pairs
                if pair.ours is not None
            ]
        )
    )


def tempered(probs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities of temperature 1 at another temperature."""
    odds: NDArray[np.float64] = np.maximum(probs, 1e-30) ** (1 / temperature)
    shares: NDArray[np.float64] = odds / odds.sum()
    return shares


def matched(clip: str, faces: list[Seen], ours: list[Observation]) -> list[Pair]:
    """For each face of the loop ours with the largest overlap, at least 0.3."""
    by_pts: dict[int | None, list[Observation]] = {}
    for one in ours:
        if one.stream == clip:
            by_pts.setdefault(one.pts, []).append(one)
    pairs = []
    for face in faces:
        candidates = by_pts.get(face.pts, [])
        best = max(candidates, key=lambda one: overlap(face.box_xyxy, in_pixels(one, face.size_wh)), default=None)
        if best is not None and overlap(face.box_xyxy, in_pixels(best, face.size_wh)) < 0.3:
            best = None
        pairs.append(Pair(clip, face, best))
    return pairs


def in_pixels(one: Observation, size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """The observation's box as (x1, y1, x2, y2) pixels."""
    x, y, w, h = one.box_xywh
    box: NDArray[np.float64] = np.array([x, y, x + w, y + h]) * np.array([*size_wh, *size_wh])
    return box
