"""What a stream asks for, and what that costs by arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamer.plan.costs import Costs


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """A live stream: `fps` frames a second of `width` x `height`, each with `faces` faces on average.

    Of those, `sample_fps` a second are analysed at most (None: all); the rest is decoded only. `pattern` is how frames
    come: `paced` by a camera's clock, or `poisson` at random, as a queue's textbook has it.
    """

    fps: float
    width: int
    height: int
    faces: float = 1.0
    sample_fps: float | None = None
    pattern: Literal["paced", "poisson"] = "paced"

    @property
    def analysed_fps(self) -> float:
        """Frames a second that go through the models."""
        return self.fps if self.sample_fps is None else min(self.fps, self.sample_fps)


@dataclass(frozen=True, slots=True)
class Bill:
    """CPU seconds of the work that frames bring, from measured costs.

    Whole frames are searched every `interval_s` of media time (0: every frame); in between faces are refined.
    """

    costs: Costs
    interval_s: float = 0.0

    def decode_s(self, load: StreamLoad) -> float:
        """Of one frame."""
        return self.costs.decode_s * self.costs.scale_to(load.width, load.height)

    def resize_s(self, load: StreamLoad) -> float:
        """Of one frame that is searched."""
        return self.costs.resize_s * self.costs.scale_to(load.width, load.height)

    def faces_s(self, n: int) -> float:
        """Of `n` faces that were found: alignment, one inference, state."""
        costs = self.costs
        return n * (costs.align_s + costs.face_s) + costs.embed.call_s(n)

    def refine_s(self, n: int) -> float:
        """Of `n` faces that are looked for where they were."""
        assert self.costs.refine is not None, "a plan with an interval needs the costs of refining"
        return self.costs.refine.call_s(n)

    def shares(self, load: StreamLoad, batch: int = 1) -> dict[str, float]:
        """Cores that one such stream takes, by stage, when batches hold `batch` items.

        `search` counts the share of frames searched whole: each of them, or one every `interval_s` if that is rarer.
        """
        costs = self.costs
        analysed = load.analysed_fps
        searched = min(analysed, 1 / self.interval_s) if self.interval_s > 0 else analysed
        found = {
            "decode": load.fps * self.decode_s(load),
            "resize": searched * self.resize_s(load),
            "search": searched * costs.search.call_s(batch) / batch,
            "align": analysed * load.faces * costs.align_s,
            "embed": analysed * load.faces * costs.embed.call_s(batch) / batch,
            "state and head": analysed * load.faces * costs.face_s,
            "other, by frame": analysed * costs.frame_s,
            "publish": analysed * load.faces * costs.record_s,
            "other, by second": costs.stream_s,
        }
        if costs.refine is not None and searched < analysed:
            found["refine"] = (analysed - searched) * load.faces * costs.refine.call_s(batch) / batch
        return found
