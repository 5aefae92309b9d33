"""Models and their Fusion over one set, offline and as the streamer would run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.data.config import DataConfig
from engines.data.frames import AnnotatedFrames
from engines.data.joining import concatenate
from engines.data.opening import open_frames
from engines.errors import BadData, WrongUse
from engines.evaluation.candidates import open_candidate
from engines.evaluation.missing import MissingFrames, joined_missing, missing_frames, truth_of, with_missing
from engines.evaluation.paper_tables import FUSION
from engines.metrics import ClassFigures, confusion, per_class
from engines.training.answers import AnswersOfVideos, Figures, figures_of, fused

PathName = Literal["offline", "streaming"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class JudgedSet:
    """What models are judged by: the crops, and the annotated frames that have none."""

    frames: AnnotatedFrames
    missing: MissingFrames

    @property
    def n_frames(self) -> int:
        """All frames that answers are held against."""
        return len(self.frames) + len(self.missing)


@dataclass(frozen=True)
class Judged:
    """One model on one path. `number` is the paper's, 0 for none of its models and for Fusion."""

    name: str
    number: int
    path: PathName
    engine: str
    answers: AnswersOfVideos
    figures: Figures
    classes: tuple[ClassFigures, ...]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How far the streaming path is from the offline one, over the set's crops."""

    name: str
    same_labels: float
    worst_probability: float
    worst_va: float | None
    bit_equal: bool


@dataclass(frozen=True)
class Judgement:
    """All that was found."""

    set_name: str
    n_crops: int
    n_videos: int
    n_missing: int
    judged: tuple[Judged, ...]
    agreements: tuple[Agreement, ...]


def open_judged_set(configs: Sequence[DataConfig]) -> JudgedSet:
    """The sets joined. Raises `BadData` when no frame is annotated."""
    opened = [open_frames(one) for one in configs]
    missing = [missing_frames(config, frames) for config, frames in zip(configs, opened, strict=True)]
    frames = concatenate(opened)
    if not frames.annotated.any():
        raise BadData(f"{frames.name}: none of its {len(frames)} pictures is annotated; nothing to judge by")
    return JudgedSet(frames, joined_missing(list(zip(opened, missing, strict=True))))


def judge_models(
    folders: Sequence[Path],
    held_out: JudgedSet,
    *,
    paths: Sequence[PathName],
    fusion: bool,
    precision: str = "auto",
    cache: Path | None = None,
    progress: Progress = lambda name, done, total: None,
) -> Judgement:
    """Judge each model, and their Fusion when asked for, on each path. One model is in memory at a time.

    Raises `WrongUse` for a Fusion of fewer than two, and what opening and running models raises.
    """
    if fusion and len(folders) < 2:
        raise WrongUse("Fusion is the average of several models: name at least two")
    by_path: dict[PathName, list[Judged]] = {path: [] for path in paths}
    for folder in folders:
        with open_candidate(folder, precision=precision, cache=cache) as one:
            for path in paths:
                run = one.offline if path == "offline" else one.streaming
                answers = run(held_out.frames, _telling(progress, f"{one.name}, {path}"))
                taken = any(other.name == one.name for other in by_path[path])
                name = f"{one.name} ({folder})" if taken else one.name
                by_path[path].append(judged(name, one.number, path, one.engine, answers, held_out))
    if fusion:
        for path, ones in by_path.items():
            ones.append(judged(FUSION, 0, path, "average", fused([one.answers for one in ones]), held_out))
    agreements: tuple[Agreement, ...] = ()
    if "offline" in by_path and "streaming" in by_path:
        pairs = zip(by_path["offline"], by_path["streaming"], strict=True)
        agreements = tuple(_agreement(offline, streaming) for offline, streaming in pairs)
    return Judgement(
        held_out.frames.name,
        len(held_out.frames),
        len(np.unique(held_out.frames.video)),
        len(held_out.missing),
        tuple(one for ones in by_path.values() for one in ones),
        agreements,
    )


def judged(
    name: str, number: int, path: PathName, engine: str, answers: AnswersOfVideos, held_out: JudgedSet
) -> Judged:
    """Answers for a set's crops, held against all of its frames."""
    truth = truth_of(held_out.frames, held_out.missing)
    everything = with_missing(answers, held_out.missing)
    return Judged(
        name,
        number,
        path,
        engine,
        answers,
        figures_of(everything, truth),
        per_class(truth.expression, everything.labels),
        confusion(truth.expression, everything.labels),
    )


def _telling(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def _agreement(offline: Judged, streaming: Judged) -> Agreement:
    ours, theirs = offline.answers, streaming.answers
    pairs = [(ours.valence, theirs.valence), (ours.arousal, theirs.arousal)]
    va = [float(np.abs(a - b).max()) for a, b in pairs if a is not None and b is not None]
    worst = float(np.abs(ours.probs - theirs.probs).max())
    same = float((ours.labels == theirs.labels).mean())
    return Agreement(offline.name, same, worst, max(va) if va else None, worst == 0 and not any(va))
