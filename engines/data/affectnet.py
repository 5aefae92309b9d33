"""AffectNet in both forms it was given out in.

Mollahosseini, Hasani, Mahoor 2017, "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild" (arXiv 1708.03985): classes 0 to 10 as in `CLASSES`, valence and arousal in [-1, 1], -2 where not rated.

CSV form: `training.csv`, `validation.csv` with the columns `COLUMNS`, and the pictures by `subDirectory_filePath`
under `Manually_Annotated_Images`. npy form: `train_set`, `val_set`, each with `images/ID.jpg` and
`annotations/ID_exp.npy`, `ID_val.npy`, `ID_aro.npy` (and `ID_lnd.npy`, landmarks, not read here).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from engines.data.config import Split
from engines.data.findings import Findings
from engines.data.frames import AnnotatedFrames
from engines.data.stills import Folder, names_in, still_frames
from engines.errors import BadData, WrongUse

CLASSES = (
    "Neutral",
    "Happy",
    "Sad",
    "Surprise",
    "Fear",
    "Disgust",
    "Anger",
    "Contempt",
    "None",
    "Uncertain",
    "No-Face",
)
"""AffectNet's order; those from Contempt on have no place among the seven and are left out."""
_TO_EXPRESSION = (0, 4, 5, 6, 3, 2, 1)
"""Place in EXPRESSIONS of AffectNet's first seven classes."""
COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks",
    "expression", "valence", "arousal",
)  # fmt: skip
_LISTS: dict[Split, str] = {"train": "training.csv", "validation": "validation.csv"}
_FOLDERS: dict[Split, str] = {"train": "train_set", "validation": "val_set"}
_LIST_PLACES = ("", "Manually_Annotated_file_lists", "Manually_Annotated")
_PICTURE_PLACES = ("Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated_Images", "Manually_Annotated")
_NOT_RATED = -2.0


@dataclass
class _Kept:
    names: list[str] = field(default_factory=list)
    expression: list[int] = field(default_factory=list)
    rated: list[tuple[float, float]] = field(default_factory=list)
    boxes_xyxy: list[tuple[int, int, int, int]] = field(default_factory=list)


def form_of(root: Path, split: Split) -> Literal["csv", "npy"] | None:
    """Which form of a split lies in `root`, if any."""
    if split in _FOLDERS and (root / _FOLDERS[split] / "annotations").is_dir():
        return "npy"
    return "csv" if _list_of(root, split) is not None else None


def read_affectnet(root: Path, split: Split) -> tuple[AnnotatedFrames, Findings]:
    """The pictures of AffectNet's seven basic expressions, cut to the face box in the CSV form.

    Raises `WrongUse` when the split lies in neither form under `root`, `BadData` when a list has other columns.
    """
    findings, kept = Findings(), _Kept()
    if form_of(root, split) == "npy":
        folder = root / _FOLDERS[split]
        _read_npy(folder, findings, kept)
        frames = still_frames(f"affectnet-{split}", folder / "images", kept.names, kept.expression, kept.rated)
        return frames, findings
    listed = _list_of(root, split)
    if listed is None:
        wanted = f"{_FOLDERS.get(split)}/annotations nor {_LISTS.get(split)}"
        raise WrongUse(f"{root} holds no AffectNet {split} set: neither {wanted} is there")
    pictures = next((root / place for place in _PICTURE_PLACES if (root / place).is_dir()), root / _PICTURE_PLACES[0])
    _read_csv(listed, Folder(pictures), findings, kept)
    boxes = kept.boxes_xyxy
    return still_frames(f"affectnet-{split}", pictures, kept.names, kept.expression, kept.rated, boxes), findings


def _list_of(root: Path, split: Split) -> Path | None:
    if split not in _LISTS:
        return None
    return next(
        (root / place / _LISTS[split] for place in _LIST_PLACES if (root / place / _LISTS[split]).is_file()), None
    )


def _rows(listed: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and columns of every row; a list without a header line has the official order of columns."""
    try:
        yield from _parsed(listed)
    except (OSError, csv.Error) as error:
        raise BadData(f"{listed} cannot be read as a list: {error}; fetch it again") from error


def _parsed(listed: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with listed.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.reader(file)
        first = next(rows, None)
        if first is None:
            raise BadData(f"{listed} is empty: fetch AffectNet's list again")
        columns = [name.strip() for name in first]
        if "subDirectory_filePath" in columns:
            missing = [name for name in COLUMNS if name != "facial_landmarks" and name not in columns]
            if missing:
                raise BadData(f"{listed} lacks the columns {', '.join(missing)}: it is not AffectNet's list")
        elif len(first) == len(COLUMNS):
            columns = list(COLUMNS)
            yield 1, dict(zip(columns, first, strict=True))
        else:
            raise BadData(f"{listed} has {len(first)} columns, not AffectNet's {len(COLUMNS)}: {', '.join(COLUMNS)}")
        for row in rows:
            if row:
                yield rows.line_num, dict(zip(columns, row, strict=False))


def _read_csv(listed: Path, pictures: Folder, findings: Findings, kept: _Kept) -> None:
    seen: set[str] = set()
    for line, row in _rows(listed):
        at = f"{listed.name} line {line}"
        try:
            name = row["subDirectory_filePath"].strip()
            label = _label(row["expression"])
            if label >= len(_TO_EXPRESSION):
                findings.leave_out(CLASSES[label], name)
                continue
            rated = _rated(row["valence"], row["arousal"])
            left, top, width, height = (int(float(row[f"face_{key}"])) for key in ("x", "y", "width", "height"))
        except (KeyError, ValueError, AttributeError):
            findings.damaged("rows that cannot be read", at)
            continue
        if name in seen:
            findings.damaged("rows for a picture that was listed before", f"{at}: {name}")
            continue
        seen.add(name)
        if name not in pictures:
            findings.damaged("missing pictures", name)
            continue
        kept.names.append(name)
        kept.expression.append(_TO_EXPRESSION[label])
        kept.rated.append(rated)
        kept.boxes_xyxy.append((left, top, left + width, top + height))


def _read_npy(folder: Path, findings: Findings, kept: _Kept) -> None:
    pictures = names_in(folder / "images")
    annotations = names_in(folder / "annotations")
    by_id = {name.rpartition(".")[0]: name for name in pictures if name.lower().endswith((".jpg", ".jpeg", ".png"))}
    annotated = {name.rpartition("_")[0] for name in annotations if name.endswith(("_exp.npy", "_val.npy", "_aro.npy"))}
    for one in sorted(by_id.keys() | annotated, key=lambda text: (len(text), text)):
        if one not in by_id:
            findings.damaged("missing pictures", f"{one}.jpg")
            continue
        if f"{one}_exp.npy" not in annotations:
            findings.damaged("missing annotations", f"{one}_exp.npy")
            continue
        try:
            label = _label(_scalar(folder / "annotations" / f"{one}_exp.npy"))
            if label >= len(_TO_EXPRESSION):
                findings.leave_out(CLASSES[label], by_id[one])
                continue
            rated = _rated(*(_scalar(folder / "annotations" / f"{one}_{key}.npy") for key in ("val", "aro")))
        except FileNotFoundError as error:
            findings.damaged("missing annotations", Path(str(error.filename)).name)
            continue
        except (OSError, ValueError, EOFError):
            findings.damaged("annotations that cannot be read", one)
            continue
        kept.names.append(by_id[one])
        kept.expression.append(_TO_EXPRESSION[label])
        kept.rated.append(rated)


def _scalar(path: Path) -> str:
    """The one value of an npy file, as text: some are numbers, some strings."""
    value = np.load(path, allow_pickle=False)
    if value.size != 1:
        raise ValueError(f"{path} holds {value.size} values")
    return str(value.reshape(-1)[0])


def _label(text: str) -> int:
    label = int(float(text))
    if label != float(text) or not 0 <= label < len(CLASSES):
        raise ValueError(f"{text} is no class of AffectNet")
    return label


def _rated(valence: str, arousal: str) -> tuple[float, float]:
    """Valence and arousal; NaN both when either was not rated."""
    pair = float(valence), float(arousal)
    if _NOT_RATED in pair:
        return float("nan"), float("nan")
    if not all(-1 <= value <= 1 for value in pair):
        raise ValueError(f"{pair} is outside [-1, 1]")
    return pair
