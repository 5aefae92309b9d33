from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.config import QualitySettings
from streamer.faces.quality import NOSE_DEPTH, assess, pose_proxies
from streamer.types import TrackedFace
from tests.unit.faces.scripted import tracked

LIMITS = QualitySettings(min_face_px=24, max_abs_yaw_deg=60, max_abs_roll_deg=75, min_detector_score=0.5)


def head(yaw_deg: float = 0.0, roll_deg: float = 0.0, scale: float = 40.0) -> NDArray[np.float32]:
    """Five points of a head in three dimensions, the nose before the plane of the others, seen from far away."""
    solid = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.6, NOSE_DEPTH], [-0.4, 1.1, 0], [0.4, 1.1, 0]])
    yaw, roll = math.radians(yaw_deg), math.radians(roll_deg)
    x = solid[:, 0] * math.cos(yaw) + solid[:, 2] * math.sin(yaw)
    y = solid[:, 1]
    seen = np.stack([x * math.cos(roll) - y * math.sin(roll), x * math.sin(roll) + y * math.cos(roll)], axis=1)
    return (seen * scale + 200).astype(np.float32)


@pytest.mark.parametrize("yaw_deg", [-70, -30, -5, 0, 10, 45, 80])
@pytest.mark.parametrize("roll_deg", [-100, -40, 0, 20, 90])
def test_a_turned_head_gives_its_angles_back(yaw_deg: float, roll_deg: float) -> None:
    roll, yaw = pose_proxies(head(yaw_deg, roll_deg))
    assert roll == pytest.approx(roll_deg, abs=0.01)
    assert yaw == pytest.approx(yaw_deg, abs=0.01)


def test_signs_are_those_of_the_image() -> None:
    lower_right_eye = np.array([[10, 10], [50, 20], [30, 35], [12, 50], [45, 58]], np.float32)
    assert pose_proxies(lower_right_eye)[0] > 0
    nose_to_the_right = np.array([[10, 10], [50, 10], [42, 30], [15, 50], [45, 50]], np.float32)
    assert pose_proxies(nose_to_the_right)[1] > 0
    nose_to_the_left = (nose_to_the_right * [-1, 1] + [100, 0]).astype(np.float32)
    assert pose_proxies(nose_to_the_left)[1] == pytest.approx(-90)  # eyes in the wrong order: fully turned


@pytest.mark.parametrize(
    "points",
    [np.zeros((5, 2)), np.array([[0, 0], [40, 0], [20, 5], [0, 0], [40, 0]]), np.array([[5, 5]] * 4 + [[5, 9]])],
)
def test_degenerate_points_give_numbers(points: NDArray[np.float64]) -> None:
    assert all(math.isfinite(angle) for angle in pose_proxies(points.astype(np.float32)))


def test_points_that_coincide_have_no_pose() -> None:
    assert pose_proxies(np.full((5, 2), 7, np.float32)) == (0.0, 0.0)


def test_a_good_face_is_ok() -> None:
    verdict = assess(tracked(head(10, 5)), LIMITS)
    assert (verdict.quality, verdict.causes) == ("ok", ())
    assert verdict.yaw_deg == pytest.approx(10, abs=0.01)
    assert verdict.roll_deg == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize(
    ("face", "causes"),
    [
        (tracked(head(), face_px=23.9), ("small_face",)),
        (tracked(head(), face_px=24.0), ()),
        (tracked(head(70)), ("extreme_yaw",)),
        (tracked(head(-70)), ("extreme_yaw",)),
        (tracked(head(0, 80)), ("extreme_roll",)),
        (tracked(head(0, -80)), ("extreme_roll",)),
        (tracked(head(), score=0.45), ("weak_detection",)),
        (tracked(head(70, 80), 0.3, 10), ("small_face", "extreme_yaw", "extreme_roll", "weak_detection")),
        (tracked(head(), score=math.nan), ("weak_detection",)),
        (
            TrackedFace(1, np.array([0, 0, 90, 90], np.float32), np.full((5, 2), 7, np.float32), 0.9, 50),
            ("unusable_points",),
        ),
    ],
)
def test_each_limit_has_its_cause(face: TrackedFace, causes: tuple[str, ...]) -> None:
    verdict = assess(face, LIMITS)
    assert verdict.causes == causes
    assert verdict.quality == ("low" if causes else "ok")
