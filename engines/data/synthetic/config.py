"""What is drawn: how many people, how long, how noisy."""

from __future__ import annotations

from typing import Literal

import msgspec

Split = Literal["stills", "train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("stills", "train", "validation", "test")
"""`stills` stands in for a set of photographs: single pictures, of other identities than the three sets of videos."""


class SyntheticConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drawn set. It is a drawing for development and CI and never evidence about people.

    No identity occurs in two splits. `noise` from 0 (none) to 1 says how often a lapse comes: blur, darkness, a turned
    head, talking, or something in front of the face, each for `lapse_s` seconds (least, most) at a time. An expression
    is held for `dwell_s`. With `shuffled` the frames of a video come in a random order, labels with their pictures:
    what then is learnt from the past is not learnt from time. `stills_per_identity` pictures of each identity of the
    split `stills` are moments far apart. Pictures are drawn at whatever size they are read.
    """

    seed: int = 0
    n_stills_identities: int = 200
    stills_per_identity: int = 60
    n_train_identities: int = 48
    n_validation_identities: int = 16
    n_test_identities: int = 32
    videos_per_identity: int = 2
    frames_per_video: int = 300
    fps: float = 10.0
    noise: float = 1.0
    dwell_s: tuple[float, float] = (1.6, 4.4)
    lapse_s: tuple[float, float] = (0.3, 1.1)
    shuffled: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ValueError("noise is a level from 0 to 1")
        counts = (*(self.n_identities(split) for split in SPLITS), self.stills_per_identity)
        if self.fps <= 0 or min(*counts, self.frames_per_video, self.videos_per_identity) < 1:
            raise ValueError("fps is above 0, and there is at least one of everything that is counted")
        for name, (least, most) in (("dwell_s", self.dwell_s), ("lapse_s", self.lapse_s)):
            if not 0 < least <= most:
                raise ValueError(f"{name} is (least, most) in seconds, both above 0")

    def n_identities(self, split: Split) -> int:
        """How many different faces a split has."""
        return {
            "stills": self.n_stills_identities,
            "train": self.n_train_identities,
            "validation": self.n_validation_identities,
            "test": self.n_test_identities,
        }[split]
