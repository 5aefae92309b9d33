"""Whether a set on disk is whole: its counts against the published ones, and the names of what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.data.affectnet import form_of
from engines.data.affwild2 import has_annotations
from engines.data.config import Crops, DataConfig, SetKind, Split
from engines.data.findings import Findings
from engines.data.frames import AnnotatedFrames
from engines.data.opening import read_frames
from engines.data.pictures import unreadable
from engines.data.published import PUBLISHED, WITHIN_PERCENT, PublishedPart
from engines.data.rafdb import basic_folder
from engines.data.sampling import class_counts
from engines.errors import BadData, WrongUse
from engines.spec import EXPRESSIONS

Progress = Callable[[str, int, int], None]
"""Told a part's title, how many of its pictures were decoded, and of how many."""


@dataclass(frozen=True)
class PartReport:
    """One part as it was found; `absent` says why it could not be read at all."""

    title: str
    n_images: int
    n_images_published: int
    n_videos: int | None
    n_videos_published: int | None
    by_expression: dict[str, int]
    findings: Findings
    absent: str | None = None

    @property
    def difference_percent(self) -> float:
        """How far the count of pictures is from the published one: -100 where there is none."""
        return 100 * (self.n_images - self.n_images_published) / self.n_images_published

    def complete(self, within_percent: float) -> bool:
        """Whether nothing is missing or damaged and the counts are the published ones, as near as allowed."""
        near = abs(self.difference_percent) <= within_percent
        return self.absent is None and not self.findings.damage and near and self.n_videos == self.n_videos_published


@dataclass(frozen=True)
class SetReport:
    """A whole set as it was found."""

    kind: SetKind
    path: str
    crops: Crops
    within_percent: float
    images_decoded: bool
    parts: list[PartReport] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every part is."""
        return all(part.complete(self.within_percent) for part in self.parts)


def detect_kind(root: Path) -> SetKind:
    """The kind of set that lies in `root`. Raises `WrongUse` when none is recognised, or more than one."""
    found: list[SetKind] = []
    if form_of(root, "train") or form_of(root, "validation"):
        found.append("affectnet")
    if basic_folder(root):
        found.append("raf-db")
    if has_annotations(root):
        found.append("aff-wild2")
    if len(found) != 1:
        told = "several sets are" if found else "no set is"
        raise WrongUse(f"{told} recognised in {root}: say which with --kind affectnet, raf-db or aff-wild2")
    return found[0]


def check_set(
    root: Path,
    kind: SetKind | None = None,
    *,
    crops: Crops | None = None,
    images: bool = False,
    within_percent: float | None = None,
    n_threads: int = 1,
    progress: Progress | None = None,
) -> SetReport:
    """Every published part of the set in `root`: read, counted, and with `images` each picture decoded.

    The kind is detected where none is given. Damage is reported, never raised; `WrongUse` is for a wrong folder.
    """
    chosen = kind or detect_kind(root)
    if chosen not in PUBLISHED:
        raise WrongUse(f"a set of kind {chosen} is drawn, not read: there is nothing to check")
    within = WITHIN_PERCENT[chosen] if within_percent is None else within_percent
    faces = crops or _usual_crops(chosen, root)
    report = SetReport(chosen, str(root), faces, within, images)
    decode = _Decoder(n_threads, progress) if images else None
    known_bad: set[tuple[Split, str, int]] = set()
    for part in PUBLISHED[chosen]:
        try:
            config = DataConfig(
                kind=chosen, path=str(root), split=part.split, crops=faces, annotations=part.annotations
            )
        except ValueError as error:
            raise WrongUse(str(error)) from error
        report.parts.append(_part(config, part, known_bad, decode))
    return report


def _usual_crops(kind: SetKind, root: Path) -> Crops:
    """The crops a set is read with, or those of Aff-Wild2 that are there when it is one kind alone."""
    if kind == "raf-db":
        return "aligned"
    alone = kind == "aff-wild2" and not (root / "cropped").is_dir() and (root / "cropped_aligned").is_dir()
    return "aligned" if alone else "cropped"


def _part(
    config: DataConfig, part: PublishedPart, known_bad: set[tuple[Split, str, int]], decode: _Decoder | None
) -> PartReport:
    """The report on one part. What is found unreadable joins `known_bad`, by split, video and frame."""
    try:
        frames, findings = read_frames(config)
    except (BadData, WrongUse) as error:
        none = None if part.n_videos is None else 0
        return PartReport(part.title, 0, part.n_images, none, part.n_videos, {}, Findings(), str(error))
    counted = _counted(frames, part)
    if decode is not None:
        if part.annotations != "both":  # frames annotated twice are of the expression track's, decoded before
            damaged = decode(part.title, frames)
            for text in damaged.values():
                findings.damaged("unreadable pictures", text.partition(";")[0])
            known_bad.update(_place(frames, part, row) for row in damaged)
        for row in range(len(frames) if known_bad else 0):
            counted[row] &= _place(frames, part, row) not in known_bad
    counts = class_counts(frames.expression[counted])
    return PartReport(
        title=part.title,
        n_images=int(counted.sum()),
        n_images_published=part.n_images,
        n_videos=None if part.n_videos is None else len(np.unique(frames.video[counted])),
        n_videos_published=part.n_videos,
        by_expression=dict(zip(EXPRESSIONS, counts.tolist(), strict=True)) if part.annotated else {},
        findings=findings,
    )


def _place(frames: AnnotatedFrames, part: PublishedPart, row: int) -> tuple[Split, str, int]:
    return part.split, frames.videos[int(frames.video[row])], int(frames.frame[row])


@dataclass(frozen=True)
class _Decoder:
    n_threads: int
    progress: Progress | None

    def __call__(self, title: str, frames: AnnotatedFrames) -> dict[int, str]:
        """What is wrong with each picture that cannot be decoded, by row."""
        progress, n = self.progress, len(frames)
        told = None if progress is None else lambda n_done: progress(title, n_done, n)
        return unreadable(frames.pictures, range(n), n_threads=self.n_threads, progress=told)


def _counted(frames: AnnotatedFrames, part: PublishedPart) -> NDArray[np.bool_]:
    """(N,) which pictures the published size is of."""
    if not part.annotated:
        return np.ones(len(frames), np.bool_)
    return frames.annotated if part.annotations == "both" else frames.expression >= 0
