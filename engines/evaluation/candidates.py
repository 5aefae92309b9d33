"""A model to be judged, from its folder: what it answers for whole videos, and frame by frame as in the streamer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from engines.data.frames import AnnotatedFrames
from engines.data.sampling import video_bounds
from engines.errors import WrongUse
from engines.evaluation.stepping import EngineSteps, TorchSteps, step_through
from engines.models import AffectModel
from engines.runtime import Runner, head_precision, open_head, open_runner
from engines.runtime.offline import Sequence, coloured, probabilities, run_head
from engines.spec import N_PROBS, HeadSpec, ModelSpec
from engines.training.answers import AnswersOfVideos, answer_videos
from engines.training.features import embed, read_pictures
from engines.training.folder import is_training_folder, load_trained
from engines.zoo import check_fit, exported_head, load_export, load_head
from engines.zoo.paper import ROWS

Progress = Callable[[int, int], None]
_BATCH = 16


class Candidate(Protocol):
    """A model to be judged."""

    @property
    def name(self) -> str:
        """What its row is called."""

    @property
    def number(self) -> int:
        """Which of the paper's models it is, 0 for none of them."""

    @property
    def engine(self) -> str:
        """What runs it, and in which precision."""

    def offline(self, frames: AnnotatedFrames, progress: Progress) -> AnswersOfVideos:
        """The answers of whole videos, all their frames at hand."""

    def streaming(self, frames: AnnotatedFrames, progress: Progress) -> AnswersOfVideos:
        """The answers frame by frame, with block, STAT and (h, c) carried as the streamer carries them."""


@dataclass(frozen=True)
class TrainedCandidate:
    """A training folder, in torch on the CPU or a CUDA device."""

    name: str
    number: int
    model: AffectModel
    with_head: bool
    device: str

    @property
    def engine(self) -> str:
        return f"torch fp32 on {self.device}"

    def offline(self, frames: AnnotatedFrames, progress: Progress) -> AnswersOfVideos:
        seen = embed(self.model.backbone, frames, device=self.device, progress=progress)
        if not self.with_head:
            return AnswersOfVideos(seen.probs)
        return answer_videos(self.model.head, seen, frames.video, device=self.device)

    def streaming(self, frames: AnnotatedFrames, progress: Progress) -> AnswersOfVideos:
        self.model.to(self.device)
        steps = TorchSteps(self.model, self.with_head, self.device)
        return step_through(steps, frames, self.model.backbone.input_size_px, progress)


@dataclass(frozen=True)
class ExportedCandidate:
    """An exported folder, in the engine that the streamer runs it in."""

    name: str
    number: int
    spec: ModelSpec
    backbone: Runner
    head: Runner | None
    head_spec: HeadSpec | None

    @property
    def engine(self) -> str:
        return f"{self.backbone.device} {self.backbone.precision}"

    def offline(self, frames: AnnotatedFrames, progress: Progress) -> AnswersOfVideos:
        spec, n = self.spec, len(frames)
        assert spec.crop is not None, "load_export refuses an expression model without a crop"
        features, probs = np.empty((n, spec.n_features), np.float32), np.empty((n, N_PROBS), np.float32)
        for start in range(0, n, _BATCH):
            rows = np.arange(start, min(n, start + _BATCH))
            told = self.backbone.infer({"image": coloured(read_pictures(frames, rows, spec.crop.width), spec)})
            features[rows] = told["features"]
            probs[rows] = probabilities(told["logits"], spec.class_order, spec.calibration.temperature)
            progress(int(rows[-1]) + 1, n)
        if self.head is None or self.head_spec is None:
            return AnswersOfVideos(probs)
        parts = [
            run_head(self.head, self.head_spec, Sequence(features[begin:end], probs[begin:end]))
            for begin, end in zip(*video_bounds(frames.video), strict=True)
        ]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return AnswersOfVideos(joined["probs"], joined.get("valence"), joined.get("arousal"))

    def streaming(self, frames: AnnotatedFrames, progress: Progress) -> AnswersOfVideos:
        assert self.spec.crop is not None, "load_export refuses an expression model without a crop"
        steps = EngineSteps(self.backbone, self.spec, self.head, self.head_spec)
        return step_through(steps, frames, self.spec.crop.width, progress)


@contextmanager
def open_candidate(folder: Path, *, precision: str = "auto", cache: Path | None = None) -> Iterator[Candidate]:
    """The model in a training folder or an exported one. `precision` is for exported ones.

    Raises `WrongUse` for a folder that is neither, and what the zoo and the runtime raise.
    """
    if is_training_folder(folder):
        model, info = load_trained(folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        yield TrainedCandidate(info.config.name, info.config.model.number, model, info.config.part == "whole", device)
        return
    if not (folder / "backbone.json").is_file():
        raise WrongUse(f"{folder} is neither a training folder nor one that `engines export` wrote")
    loaded = load_export(folder, precision=precision)
    backbone = open_runner(loaded, precision=precision, cache=cache)
    head = head_spec = None
    try:
        found = exported_head(str(folder.resolve()))
        if found is not None:
            head_spec, path = load_head(found)
            check_fit(head_spec, loaded.spec)
            head = open_head(path, head_spec, precision=head_precision(precision, head_spec), cache=cache)
        name = head_spec.name if head_spec is not None else loaded.spec.name
        yield ExportedCandidate(name, _number(name), loaded.spec, backbone, head, head_spec)
    finally:
        backbone.close()
        if head is not None:
            head.close()


def _number(name: str) -> int:
    return next((row.number for row in ROWS if name in row.names), 0)
