"""Is a face good enough to be labelled? Pose proxies from the five points, and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from streamer.config import QualitySettings
from streamer.faces.align import points_usable
from streamer.types import FloatArray, TrackedFace

QualityCause = Literal["small_face", "extreme_yaw", "extreme_roll", "weak_detection", "unusable_points"]

NOSE_DEPTH = 0.5
"""How far the nose's tip stands before the plane of eyes and mouth, in distances between the eyes: about 30 mm of
63 mm in adults. It turns an offset into degrees; people differ by a quarter of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`quality` is `low` exactly when `causes` names something. Angles are proxies in degrees, see `pose_proxies`."""

    quality: Literal["ok", "low"]
    causes: tuple[QualityCause, ...]
    roll_deg: float
    yaw_deg: float


def pose_proxies(points_xy: FloatArray) -> tuple[float, float]:
    """Roll and yaw in degrees, estimated from five points (5,2) alone.

    Roll is the slope of the eye line: positive when the eye at the right of the image is the lower one.
    Yaw is how far the nose stands from the line between the middles of eyes and mouth. A head turned by t shows the
    eyes cos(t) apart and moves the nose's tip by sin(t) times its depth, so tan(t) = offset / (depth * eyes).
    Positive when the nose points to the right of the image. It is a proxy: one nose depth for everybody, no
    perspective, and no better than the points, which are poor below about 24 px and near profile. Points that all
    coincide give 0, 0.
    """
    (left_x, left_y), (right_x, right_y), (nose_x, nose_y), mouth_left, mouth_right = points_xy.tolist()
    roll = math.atan2(right_y - left_y, right_x - left_x)
    eyes_x, eyes_y = (left_x + right_x) / 2, (left_y + right_y) / 2
    down_x = (mouth_left[0] + mouth_right[0]) / 2 - eyes_x
    down_y = (mouth_left[1] + mouth_right[1]) / 2 - eyes_y
    length = math.hypot(down_x, down_y)
    if length < 1e-6:  # no midline: take the normal of the eye line
        down_x, down_y, length = -math.sin(roll), math.cos(roll), 1.0
    across_x, across_y = down_y / length, -down_x / length  # unit vector to the face's right in the image
    offset = (nose_x - eyes_x) * across_x + (nose_y - eyes_y) * across_y
    eyes_apart = (right_x - left_x) * across_x + (right_y - left_y) * across_y
    # In profile the detector may put the eyes in the wrong order; then the head is turned fully to the nose's side.
    yaw = math.atan2(offset, NOSE_DEPTH * max(eyes_apart, 0.0))
    return math.degrees(roll), math.degrees(yaw)


def assess(face: TrackedFace, settings: QualitySettings) -> Verdict:
    """Whether the face may be labelled, with every limit it breaks, in a fixed order."""
    roll_deg, yaw_deg = pose_proxies(face.points_xy)
    broken: tuple[tuple[QualityCause, bool], ...] = (
        ("small_face", not face.face_px >= settings.min_face_px),
        ("extreme_yaw", not abs(yaw_deg) <= settings.max_abs_yaw_deg),
        ("extreme_roll", not abs(roll_deg) <= settings.max_abs_roll_deg),
        ("weak_detection", not face.score >= settings.min_detector_score),
        # An aligned model would get a crop it was not made for, and say something wrong with confidence.
        ("unusable_points", not points_usable(face.box_xyxy, face.points_xy)),
    )
    causes = tuple(cause for cause, breaks in broken if breaks)
    return Verdict("low" if causes else "ok", causes, roll_deg, yaw_deg)
