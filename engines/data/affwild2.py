"""Aff-Wild2 as the ABAW challenge of 2020 gave it out.

Kollias, Schulc, Hajiyev, Zafeiriou 2020, "Analysing Affective Behavior in the First ABAW 2020 Competition"
(arXiv 2001.11409). `annotations/EXPR_Set` and `annotations/VA_Set`, each with `Train_Set` (some copies:
`Training_Set`) and `Validation_Set`, hold a text file a video: a header line, then one line a frame, the first for
frame 1. Crops are `cropped/VIDEO/00001.jpg` (boxes) and `cropped_aligned/VIDEO/00001.jpg`, numbered by frame; a frame
without a crop is one no face was found in. A video with two people has a file and a folder for each, whose names end
in `_left` or `_right`. Test videos are a list of names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.data.annotation_files import read_expressions, read_valence_arousal
from engines.data.config import Annotations, Split
from engines.data.findings import Findings
from engines.data.frames import NOT_ANNOTATED, AnnotatedFrames
from engines.data.pictures import VideoCrops
from engines.data.stills import names_in
from engines.errors import BadData, WrongUse

_PARTS: dict[Split, tuple[str, ...]] = {"train": ("Train_Set", "Training_Set"), "validation": ("Validation_Set",)}
_LIST_PLACES = ("", "annotations", "annotations/EXPR_Set", "annotations/VA_Set")


@dataclass(frozen=True)
class _Video:
    name: str
    frame: NDArray[np.int32]
    expression: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]


def read_affwild2(
    root: Path,
    split: Split,
    *,
    annotations: Annotations = "expression",
    aligned: bool = False,
    test_list: Path | None = None,
) -> tuple[AnnotatedFrames, Findings]:
    """The crops of one part with what both tracks say of them, joined by video and frame.

    Crops without an annotation stay in as the past of others. `annotations` chooses the videos, as `DataConfig` says;
    a video's valence and arousal are taken from the same part alone, so that nothing of the validation set is learnt
    from. Raises `WrongUse` when a folder or the test list is not there, `BadData` when a header names other classes.
    """
    crops = root / ("cropped_aligned" if aligned else "cropped")
    if not crops.is_dir():
        raise WrongUse(f"{crops} is no folder: it holds Aff-Wild2's crops, one folder a video")
    findings = Findings()
    if split == "test":
        found = _test_videos(root, annotations, test_list)
        read = [_unannotated(crops, name, findings) for name in found]
    else:
        read = [
            _annotated(crops, name, expr, va, annotations, findings)
            for name, expr, va in _chosen(root, split, annotations, findings)
        ]
    videos = [one for one in read if one is not None]
    name = f"aff-wild2-{split}" + ("" if annotations == "expression" else f"-{annotations}")
    return _as_frames(name, crops, videos), findings


def has_annotations(root: Path) -> bool:
    """Whether Aff-Wild2's annotation folders lie in `root`."""
    return any((root / "annotations" / track).is_dir() for track in ("EXPR_Set", "VA_Set"))


def part_folder(root: Path, track: str, split: Split) -> Path | None:
    """The folder of annotation files of a track (`EXPR_Set`, `VA_Set`) and part, if it is there."""
    places = (root / "annotations" / track / part for part in _PARTS.get(split, ()))
    return next((place for place in places if place.is_dir()), None)


def _chosen(
    root: Path, split: Split, annotations: Annotations, findings: Findings
) -> list[tuple[str, Path | None, Path | None]]:
    """Name, expression file and valence-arousal file of the videos of this part."""
    tracks = {}
    for track, unneeded in (("EXPR_Set", "valence_arousal"), ("VA_Set", "expression")):
        folder = part_folder(root, track, split)
        if folder is None and annotations != unneeded:
            raise WrongUse(
                f"{root / 'annotations' / track / _PARTS[split][0]} is no folder: it holds the annotation files"
            )
        files = (
            {} if folder is None else {file[:-4]: folder / file for file in names_in(folder) if file.endswith(".txt")}
        )
        tracks[track] = files
    expr, va = tracks["EXPR_Set"], tracks["VA_Set"]
    names = {
        "expression": expr.keys(),
        "valence_arousal": va.keys(),
        "either": expr.keys() | va.keys(),
        "both": expr.keys() & va.keys(),
    }[annotations]
    other: Split = "validation" if split == "train" else "train"
    elsewhere = names_in(part_folder(root, "VA_Set", other) or root / "none")
    for name in sorted(names):
        if name not in va and f"{name}.txt" in elsewhere:
            findings.leave_out(f"videos whose valence and arousal belong to the {other} part", name)
    return [(name, expr.get(name), va.get(name)) for name in sorted(names)]


def _crop_numbers(crops: Path, name: str, findings: Findings) -> NDArray[np.int32] | None:
    """The numbers of the crops of a video, rising; None, counted, when it has no folder or no crop in it."""
    files = names_in(crops / name)
    numbers = sorted(int(file[:-4]) for file in files if file.endswith(".jpg") and file[:-4].isdecimal())
    odd = [number for number in numbers if f"{number:05d}.jpg" not in files or number < 1]
    if odd:
        findings.damaged("crops with an odd name", f"{name}/{odd[0]}", len(odd))
        numbers = sorted(set(numbers) - set(odd))
    if not numbers:
        findings.damaged("videos without crops", name)
        return None
    return np.array(numbers, np.int32)


def _unannotated(crops: Path, name: str, findings: Findings) -> _Video | None:
    frame = _crop_numbers(crops, name, findings)
    if frame is None:
        return None
    nothing = np.full(len(frame), np.nan, np.float32)
    return _Video(name, frame, np.full(len(frame), NOT_ANNOTATED, np.int64), nothing, nothing)


def _annotated(
    crops: Path, name: str, expr: Path | None, va: Path | None, annotations: Annotations, findings: Findings
) -> _Video | None:
    frame = _crop_numbers(crops, name, findings)
    by_expression = _labels(expr, findings)
    by_rating = _ratings(va, findings)
    enough = {
        "expression": by_expression is not None,
        "valence_arousal": by_rating is not None,
        "either": by_expression is not None or by_rating is not None,
        "both": by_expression is not None and by_rating is not None,
    }
    if frame is None or not enough[annotations]:
        return None
    lengths = {len(column) for column in (by_expression, by_rating) if column is not None}
    if len(lengths) == 2:
        findings.damaged("videos whose two annotations differ in length", f"{name} ({min(lengths)}, {max(lengths)})")
    expression, rating = joined_annotations(by_expression, by_rating, annotations)
    n_lines = len(expression)
    past_end = int((frame > n_lines).sum())
    if past_end:
        findings.damaged("crops past the end of their annotation", f"{name} ({n_lines} lines)", past_end)
        frame = frame[frame <= n_lines]
    without_crop = np.ones(n_lines, np.bool_)
    without_crop[frame - 1] = False
    lost = int((without_crop & ((expression >= 0) | ~np.isnan(rating).any(1))).sum())
    if lost:
        findings.leave_out("annotated frames without a crop", f"{name} ({lost})", lost)
    at = frame - 1
    return _Video(name, frame, expression[at], rating[at, 0].astype(np.float32), rating[at, 1].astype(np.float32))


def joined_annotations(
    by_expression: NDArray[np.int64] | None, by_rating: NDArray[np.float64] | None, annotations: Annotations
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(L,) expression and (L,2) valence and arousal of frames 1 to L, the longer of the two files; with `both` a frame
    that has one annotation alone counts as having none."""
    n_lines = max((len(column) for column in (by_expression, by_rating) if column is not None), default=0)
    expression, rating = np.full(n_lines, NOT_ANNOTATED, np.int64), np.full((n_lines, 2), np.nan)
    if by_expression is not None:
        expression[: len(by_expression)] = by_expression
    if by_rating is not None:
        rating[: len(by_rating)] = by_rating
    if annotations == "both":
        alone = (expression == NOT_ANNOTATED) | np.isnan(rating).any(1)
        expression[alone], rating[alone] = NOT_ANNOTATED, np.nan
    return expression, rating


def _labels(path: Path | None, findings: Findings) -> NDArray[np.int64] | None:
    if path is None:
        return None
    labels, cause = read_expressions(path)
    if cause:
        findings.damaged("expression files that cannot be read", f"{path.name}: {cause}")
    return labels


def _ratings(path: Path | None, findings: Findings) -> NDArray[np.float64] | None:
    if path is None:
        return None
    ratings, cause = read_valence_arousal(path)
    if cause:
        findings.damaged("valence-arousal files that cannot be read", f"{path.name}: {cause}")
    return ratings


def _test_videos(root: Path, annotations: Annotations, given: Path | None) -> list[str]:
    path = given if given is not None else find_test_list(root, annotations)
    if path is None:
        track = "valence-arousal" if annotations == "valence_arousal" else "expression"
        raise WrongUse(f"{root} holds no list of the {track} track's test videos: name it with test_list")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read as a list of videos: {error}") from error
    return sorted({name.removesuffix(".txt") for name in names if name})


def find_test_list(root: Path, annotations: Annotations) -> Path | None:
    """The list of a track's test videos, such as `expression_test_set.txt` or `va_test_set.txt`, if it is there."""
    starts = ("va", "valence") if annotations == "valence_arousal" else ("expr",)
    for place in _LIST_PLACES:
        for name in sorted(names_in(root / place)):
            low = name.lower()
            if low.startswith(starts) and "test" in low and low.endswith(".txt"):
                return root / place / name
    return None


def _as_frames(name: str, crops: Path, videos: list[_Video]) -> AnnotatedFrames:
    names = tuple(one.name for one in videos)
    video = np.repeat(np.arange(len(videos)), [len(one.frame) for one in videos]).astype(np.int32)
    frame = np.concatenate([np.zeros(0, np.int32), *(one.frame for one in videos)])
    return AnnotatedFrames(
        name=name,
        pictures=VideoCrops(crops, names, video, frame),
        videos=names,
        video=video,
        frame=frame,
        expression=np.concatenate([np.zeros(0, np.int64), *(one.expression for one in videos)]),
        valence=np.concatenate([np.zeros(0, np.float32), *(one.valence for one in videos)]),
        arousal=np.concatenate([np.zeros(0, np.float32), *(one.arousal for one in videos)]),
    )
