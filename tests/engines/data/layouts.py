"""Tiny data sets in the official layouts, with a few drawn pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.engines.data.made import write_picture

EXPRESSION_HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
AFFECTNET_COLUMNS = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def affectnet_csv(root: Path, labels: list[int], list_name: str = "training.csv", header: bool = True) -> list[str]:
    """One 24 px picture a label, its face in the box (4, 6, 16, 12); the names in order."""
    names = [f"{i % 3}/{i:04x}.jpg" for i in range(len(labels))]
    rows = []
    for i, (name, label) in enumerate(zip(names, labels, strict=True)):
        write_picture(root / "Manually_Annotated" / "Manually_Annotated_Images" / name, i)
        rated = "-2,-2" if label >= 8 else f"{0.1 * (i % 10):.2f},{-0.05 * (i % 10):.3f}"
        rows.append(f"{name},4,6,16,12,1.0;2.0;3.0,{label},{rated}")
    listed = root / "Manually_Annotated_file_lists" / list_name
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join([AFFECTNET_COLUMNS] * header + rows) + "\n")
    return names


def affectnet_npy(root: Path, labels: list[int], folder: str = "train_set") -> None:
    for i, label in enumerate(labels):
        write_picture(root / folder / "images" / f"{i}.jpg", i)
        annotation(root / folder, i, "exp", str(label))  # the release keeps labels as strings
        annotation(root / folder, i, "val", str(0.1 * (i % 10)))
        annotation(root / folder, i, "aro", "-2" if label == 6 else "0.25")
        annotation(root / folder, i, "lnd", "0")


def annotation(folder: Path, number: int, key: str, value: str) -> None:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    np.save(folder / "annotations" / f"{number}_{key}.npy", np.array(value))


def rafdb(root: Path, train: list[int], test: list[int], original: bool = False) -> None:
    lines = []
    for part, n_digits, labels in (("train", 5, train), ("test", 4, test)):
        for i, label in enumerate(labels, 1):
            name = f"{part}_{i:0{n_digits}d}"
            write_picture(root / "Image" / "aligned" / f"{name}_aligned.jpg", i)
            if original:
                write_picture(root / "Image" / "original" / f"{name}.jpg", i, 48)
                box = root / "Annotation" / "boundingbox" / f"{name}_boundingbox.txt"
                box.parent.mkdir(parents=True, exist_ok=True)
                box.write_text("8.2 10.0 40.4 42.0 \n")
            lines.append(f"{name}.jpg {label}")
    listed = root / "EmoLabel" / "list_patition_label.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(lines) + "\n")


def affwild2_video(
    root: Path,
    name: str,
    *,
    part: str = "Train_Set",
    expression: list[int] | None = None,
    rating: list[tuple[float, float]] | None = None,
    crops: list[int] | None = None,
    folder: str = "cropped",
) -> None:
    """One video with annotation files where given, and crops for the frames named (all of them where left out)."""
    if expression is not None:
        write_lines(root / "annotations" / "EXPR_Set" / part / f"{name}.txt", EXPRESSION_HEADER, expression)
    if rating is not None:
        pairs = [f"{valence},{arousal}" for valence, arousal in rating]
        write_lines(root / "annotations" / "VA_Set" / part / f"{name}.txt", "valence,arousal", pairs)
    n_frames = max(len(expression or []), len(rating or []))
    for number in range(1, n_frames + 1) if crops is None else crops:
        write_picture(root / folder / name / f"{number:05d}.jpg", number)


def affwild2(root: Path, folder: str = "cropped") -> None:
    """A whole small set: two training videos (one of two people), one for validation, one test video a track."""
    rated = [(0.5, -0.25), (-5.0, -5.0), (0.0, 0.125), (-1.0, 1.0)]
    affwild2_video(root, "10-a", expression=[0, 4, -1, 6], rating=rated, folder=folder)
    affwild2_video(root, "11-b_left", expression=[1, 2, 3, 5, 0], crops=[1, 2, 5], folder=folder)
    affwild2_video(root, "12-c", rating=[(0.1, 0.2)] * 3, folder=folder)
    affwild2_video(root, "20-v", part="Validation_Set", expression=[4, 4], rating=[(0.75, 0.5)] * 2, folder=folder)
    for name, track in (("30-t", "expression"), ("31-t_right", "va")):
        affwild2_video(root, name, crops=[1, 2, 4], folder=folder)
        (root / f"{track}_test_set.txt").write_text(f"{name}\n")


def write_lines(path: Path, header: str, lines: list[int] | list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *map(str, lines)]) + "\n")


def truncate(path: Path) -> None:
    """Cut the last third of a file away."""
    data = path.read_bytes()
    path.write_bytes(data[: 2 * len(data) // 3])
