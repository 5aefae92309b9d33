"""A worker's child that counts how full the batches of its models are, and what the calls alone take.

What it counted it writes as JSON into the folder that `STREAMER_BENCH_COUNTS` names, when it ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from streamer.config import Config
from streamer.faces.detect import Detected, Detector
from streamer.faces.embed import Embedded, Embedder
from streamer.pipeline import Models
from streamer.pixels import Picture
from streamer.types import UInt8Array
from streamer.worker import child
from streamer.worker.children import Children

FOLDER = "STREAMER_BENCH_COUNTS"


class CountedChildren(Children):
    """Child processes that count."""

    program = "streamer.bench.counted_child"


@dataclass(slots=True)
class Calls:
    """How often a model was asked, for how many pictures or crops in all, and the CPU seconds of its thread."""

    calls: int = 0
    items: int = 0
    cpu_s: float = 0.0

    def timed(self, items: int, began_s: float) -> None:
        """A call for so many began then, on `time.thread_time`, and ends now."""
        if items:
            self.calls += 1
            self.items += items
            self.cpu_s += time.thread_time() - began_s


class _CountedModel:
    """Stands for the detector or for the embedder."""

    def __init__(self, inner: Any, calls: Calls) -> None:
        self._inner, self._calls = inner, calls

    def detect_each(self, pictures: Sequence[Picture]) -> Detected:
        """See `Detector`."""
        began_s = time.thread_time()
        found: Detected = self._inner.detect_each(pictures)
        self._calls.timed(len(pictures), began_s)
        return found

    def embed(self, crops: UInt8Array) -> Embedded:
        """See `Embedder`."""
        began_s = time.thread_time()
        found: Embedded = self._inner.embed(crops)
        self._calls.timed(len(crops), began_s)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def main() -> int:
    """As `streamer.worker.child`, counting."""
    counted = {"detect": Calls(), "embed": Calls()}

    class _Counted:
        @staticmethod
        def open(config: Config, cache: Path | None = None, *, at_once: bool = True) -> Models:
            models = Models.open(config, cache, at_once=at_once)
            return replace(
                models,
                detector=cast(Detector, _CountedModel(models.detector, counted["detect"])),
                embedder=cast(Embedder, _CountedModel(models.embedder, counted["embed"])),
            )

    child.Models = _Counted  # type: ignore[assignment, attr-defined]  # the one place where a child opens them
    code = child.main()
    told = json.dumps({name: asdict(calls) for name, calls in counted.items()})
    (Path(os.environ[FOLDER]) / f"{os.getpid()}.json").write_text(told, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
