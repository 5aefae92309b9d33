"""RAF-DB, the basic part.

Li, Deng, Du 2017, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild" (CVPR); layout as in its readme: `EmoLabel/list_patition_label.txt` (its own spelling) with `train_00001.jpg 5`
a line, `Image/aligned/train_00001_aligned.jpg` (100 px), `Image/original/train_00001.jpg` and
`Annotation/boundingbox/train_00001_boundingbox.txt` with left, top, right and bottom in pixels.
"""

from __future__ import annotations

from pathlib import Path

from engines.data.config import Split
from engines.data.findings import Findings
from engines.data.frames import AnnotatedFrames
from engines.data.stills import Folder, still_frames
from engines.errors import BadData, WrongUse

CLASSES = ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
"""RAF-DB's order, counted from 1."""
_TO_EXPRESSION = (6, 3, 2, 4, 5, 1, 0)
"""Place in EXPRESSIONS of each."""
_LABELS = "EmoLabel/list_patition_label.txt"


def basic_folder(root: Path) -> Path | None:
    """The folder of the basic part in or at `root`, if it is there."""
    return next((place for place in (root, root / "basic") if (place / _LABELS).is_file()), None)


def read_rafdb(root: Path, split: Split, *, aligned: bool = True) -> tuple[AnnotatedFrames, Findings]:
    """The pictures of one split: aligned, or the originals cut to the face box. Nothing has valence and arousal.

    `validation` is the test part: RAF-DB has no other, and the paper validates on it.
    Raises `WrongUse` when the list of labels is not there.
    """
    folder = basic_folder(root)
    if folder is None:
        raise WrongUse(f"{root} holds no RAF-DB: {_LABELS} is neither in it nor in its folder basic")
    prefix = "train_" if split == "train" else "test_"
    pictures = Folder(folder / "Image" / ("aligned" if aligned else "original"))
    findings = Findings()
    names: list[str] = []
    expression: list[int] = []
    boxes: list[tuple[int, int, int, int]] = []
    seen: set[str] = set()
    try:
        lines = (folder / _LABELS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadData(f"{folder / _LABELS} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in "1234567" or not words[0].startswith(("train_", "test_")):
            findings.damaged("lines that cannot be read", f"{_LABELS} line {number}")
            continue
        name = words[0]
        if not name.startswith(prefix):
            continue
        if name in seen:
            findings.damaged("lines for a picture that was listed before", f"{_LABELS} line {number}")
            continue
        seen.add(name)
        stem = name.rpartition(".")[0] or name
        file = f"{stem}_aligned.jpg" if aligned else name
        if file not in pictures:
            findings.damaged("missing pictures", file)
            continue
        if not aligned:
            box = _box(folder / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt")
            if box is None:
                findings.damaged("face boxes that are missing or cannot be read", f"{stem}_boundingbox.txt")
                continue
            boxes.append(box)
        names.append(file)
        expression.append(_TO_EXPRESSION[int(words[1]) - 1])
    boxes_xyxy = None if aligned else boxes
    return still_frames(f"raf-db-{split}", pictures.root, names, expression, boxes_xyxy=boxes_xyxy), findings


def _box(path: Path) -> tuple[int, int, int, int] | None:
    try:
        left, top, right, bottom = (round(float(word)) for word in path.read_text(encoding="utf-8").split())
    except (OSError, ValueError, OverflowError):
        return None
    return (left, top, right, bottom) if right > left and bottom > top else None
