"""What befalls a camera, drawn from a seed, and done to it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from streamer.bench.cameras.camera import Camera

FaultKind = Literal["killed", "quick", "frozen", "frozen_killed", "long"]

_DOWN_S: dict[FaultKind, tuple[float, float]] = {
    "killed": (0.5, 4.0),
    "quick": (0.0, 0.1),
    "frozen": (6.0, 9.0),
    "frozen_killed": (6.0, 8.0),
    "long": (10.0, 20.0),
}
_DECK: tuple[FaultKind, ...] = ("killed",) * 4 + ("quick",) * 2 + ("frozen",) * 2 + ("frozen_killed", "long")
"""Ten faults: each kind is in every ten of a plan, in an order of chance."""
_CALM_S = (1.0, 4.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """The camera runs for `calm_s`, then this happens, and after `down_s` it comes back."""

    kind: FaultKind
    calm_s: float
    down_s: float

    @property
    def silent(self) -> bool:
        """Whether connections stay, so that only a watchdog can notice."""
        return self.kind in ("frozen", "frozen_killed")

    def strike(self, camera: Camera) -> None:
        """Let it happen."""
        if self.silent:
            camera.freeze()
        else:
            camera.kill()

    def mend(self, camera: Camera) -> None:
        """Have the camera back; returns when it listens."""
        if self.kind == "frozen":
            camera.thaw()
            return
        if self.kind == "frozen_killed":
            camera.kill()
        camera.restart()


def plan(times: int, seed: int) -> list[Fault]:
    """So many faults at random moments, of each kind some."""
    rng = random.Random(seed)  # noqa: S311  # for a plan that can be repeated
    kinds: list[FaultKind] = []
    while len(kinds) < times:
        kinds.extend(rng.sample(_DECK, len(_DECK)))
    return [Fault(kind, rng.uniform(*_CALM_S), rng.uniform(*_DOWN_S[kind])) for kind in kinds[:times]]
