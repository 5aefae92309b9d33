"""How many faces each frame of known clips shows, counted by eye: what recall and false boxes are judged against.

Clips are known by the sha256 of their bytes, so a count never meets another file of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.zoo.cache import sha256_of
from engines.zoo.sample import CLIP


@dataclass(frozen=True, slots=True)
class Counted:
    """`runs` are (frames, faces in each of them), in order. A face counts when its front or its half profile shows."""

    runs: tuple[tuple[int, int], ...]

    @property
    def faces(self) -> tuple[int, ...]:
        """The faces of each frame."""
        return tuple(faces for frames, faces in self.runs for _ in range(frames))


COUNTS = {
    CLIP.sha256: Counted(((120, 1),)),  # the sample clip, `carphone`
    # pyfeat_single_face.mp4
    "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571": Counted(((72, 1),)),
    # pyfeat_face_noface.mov: the face is cut away after frame 71
    "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c": Counted(((72, 1), (97, 0))),
    # pyfeat_no_face.mp4
    "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3": Counted(((95, 0),)),
    # intel_head-pose-face-detection-female-and-male.gif
    "f51c743e43848014811ad5f3daddc417754cdeb55a16d46002e0d2ccd4541b0f": Counted(((56, 2),)),
    # intel_head-pose-face-detection-female.gif: a head that turns, never further than half profile
    "67646830ba9551b958f8a6ed4c83c32f5232e444bfba0f4c94386ee076b5d722": Counted(((23, 1),)),
    # intel_head-pose-face-detection-male.gif
    "0484de9f8f4eac5ada77313629a6cd258da4d065ade887a0633029b7ccb0ff89": Counted(((62, 1),)),
}
"""moviepy_chaplin.mp4 is not here: with faces of 15 px that turn away, no two people count the same."""


def counted(clip: Path) -> tuple[int, ...] | None:
    """The faces of each frame of the clip, None where nobody counted them. Raises `OSError` when it cannot be read."""
    known = COUNTS.get(sha256_of(clip))
    return None if known is None else known.faces
