"""The pipeline's labels against a plain loop over the same weights, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engines.zoo import load
from streamer.messages import Observation
from tests.product import CLIPS, LEAVES, ONE_FACE, TWO_FACES, needs_clips, observations, streamer
from tests.straight_loop import Seen, StraightLoop, overlap

pytestmark = [pytest.mark.clips, pytest.mark.models, pytest.mark.usefixtures("models"), needs_clips]
NAMES = ("Neutral", "Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise")
CHOSEN = (
    ONE_FACE,
    TWO_FACES,
    LEAVES,
    CLIPS / "intel_head-pose-face-detection-female.gif",
    CLIPS / "intel_head-pose-face-detection-male.gif",
)


@pytest.fixture(scope="module")
def loop() -> StraightLoop:
    return StraightLoop(load("centerface").path, load("face-api").path)


def test_labels_agree_with_a_straight_loop(
    tmp_path: Path, loop: StraightLoop, record_property: Callable[[str, object], None]
) -> None:
    done = streamer("run", *CHOSEN, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = observations(tmp_path / "affect.db")
    rows = [row for clip in CHOSEN for row in compare(loop.run(clip), [one for one in seen if one.stream == clip.stem])]
    found = np.array([row[0] for row in rows])
    agrees = np.array([row[1] for row in rows if row[0]])
    clear = np.array([row[2] >= 0.1 for row in rows if row[0]])
    for name, value in (("found", found.mean()), ("agree", agrees.mean()), ("agree_clear", agrees[clear].mean())):
        record_property(name, float(value))
    assert found.mean() >= 0.95
    assert agrees.mean() >= 0.95
    assert agrees[clear].mean() >= 0.99


def test_the_loop_disagrees_when_colours_are_swapped(loop: StraightLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: with red and blue swapped, probabilities move far more than between the two paths."""
    truth = loop.run(ONE_FACE)
    classify = StraightLoop._classify
    monkeypatch.setattr(
        StraightLoop, "_classify", lambda self, rgb, points: classify(self, rgb[..., ::-1].copy(), points)
    )
    swapped = loop.run(ONE_FACE)
    moved = np.array([np.abs(a.probs - b.probs).max() for a, b in zip(truth, swapped, strict=True)])
    assert moved.mean() > 0.02


def compare(loop: list[Seen], ours: list[Observation]) -> list[tuple[bool, bool, float]]:
    """For each face of the loop: did we find it, do we agree on its label, and how clear was it."""
    by_pts: dict[int | None, list[Observation]] = {}
    for one in ours:
        by_pts.setdefault(one.pts, []).append(one)
    rows = []
    for face in loop:
        width, height = face.size_wh
        best: Observation | None = None
        best_overlap = 0.3
        for one in by_pts.get(face.pts, []):
            x, y, w, h = one.box_xywh
            shared = overlap(face.box_xyxy, np.array([x * width, y * height, (x + w) * width, (y + h) * height]))
            if shared > best_overlap:
                best, best_overlap = one, shared
        agrees = best is not None and best.bare.label == NAMES[int(face.probs.argmax())]
        rows.append((best is not None, agrees, face.margin))
    return rows
