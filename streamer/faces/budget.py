"""Which faces of a frame are worth the work when there are more than may be worked on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from streamer.types import TrackedFace

STAYING = 1.25
"""A face that was analysed in the frame before gives way only to one larger by more than this factor, so that of two
faces of about one size not now this, now that one is seen."""


def largest(faces: Sequence[TrackedFace], most: int, before: Collection[int]) -> tuple[TrackedFace, ...]:
    """At most so many of `faces`, the largest, in their order; all of them where `most` is 0.

    `before` are the tracks that were chosen in the frame before. Of equals the older track stays.
    """
    if most <= 0 or len(faces) <= most:
        return tuple(faces)
    ranked = sorted(faces, key=lambda face: (-face.face_px * (STAYING if face.track in before else 1.0), face.track))
    chosen = {face.track for face in ranked[:most]}
    return tuple(face for face in faces if face.track in chosen)
