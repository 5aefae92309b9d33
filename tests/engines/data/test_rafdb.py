from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.data import DataConfig, open_frames, open_with_findings
from engines.data.rafdb import read_rafdb
from engines.errors import BadData, WrongUse
from tests.engines.data import layouts
from tests.engines.data.made import drawn

ALL = [1, 2, 3, 4, 5, 6, 7]
AS_OURS = [6, 3, 2, 4, 5, 1, 0]
"""Surprise, Fear, Disgust, Happiness, Sadness, Anger, Neutral in the order of EXPRESSIONS."""


def test_labels_come_in_our_order_and_parts_apart(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, ALL, [4, 7])
    train, findings = read_rafdb(tmp_path, "train")
    assert train.expression.tolist() == AS_OURS
    assert np.isnan(train.valence).all()
    assert train.videos[0] == "train_00001_aligned.jpg"
    assert not findings.damage
    for split in ("test", "validation"):
        assert read_rafdb(tmp_path, split)[0].expression.tolist() == [4, 0]


def test_the_folder_above_basic_will_do(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path / "basic", [1], [])
    assert len(open_frames(DataConfig(kind="raf-db", path=str(tmp_path)))) == 1


def test_originals_are_cut_to_their_box(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, [1, 2], [], original=True)
    (tmp_path / "Annotation" / "boundingbox" / "train_00002_boundingbox.txt").write_text("5 5 3 3")
    config = DataConfig(kind="raf-db", path=str(tmp_path), crops="cropped")
    frames, findings = open_with_findings(config)
    assert frames.videos == ("train_00001.jpg",)
    assert findings.damage["face boxes that are missing or cannot be read"].names == ["train_00002_boundingbox.txt"]
    picture = frames.pictures.read(0, 32)
    face = drawn(1, 48)[10:42, 8:40].astype(int)
    assert np.abs(picture.astype(int) - face).mean() < 6, "JPEG changes little"
    assert np.abs(picture[1:].astype(int) - face[:-1]).mean() > np.abs(picture.astype(int) - face).mean() + 1


def test_every_kind_of_damage_is_counted_and_named(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, ALL, [])
    (tmp_path / "Image" / "aligned" / "train_00002_aligned.jpg").unlink()
    listed = tmp_path / "EmoLabel" / "list_patition_label.txt"
    lines = listed.read_text().splitlines()
    lines[3] = "train_00004.jpg 8"
    lines[4] = "train_00005.jpg"
    lines.append("train_00001.jpg 1")
    lines.append("other_00001.jpg 1")
    listed.write_text("\n".join(lines))
    config = DataConfig(kind="raf-db", path=str(tmp_path))
    frames, findings = open_with_findings(config)
    assert frames.expression.tolist() == [6, 2, 1, 0]
    assert {cause: found.count for cause, found in findings.damage.items()} == {
        "missing pictures": 1,
        "lines that cannot be read": 3,
        "lines for a picture that was listed before": 1,
    }
    assert findings.damage["lines that cannot be read"].names[0].endswith("line 4")
    refused = DataConfig(kind="raf-db", path=str(tmp_path), on_error="refuse")
    with pytest.raises(BadData, match=r"train_00002_aligned\.jpg"):
        open_frames(refused)


def test_a_folder_without_labels_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="holds no RAF-DB"):
        read_rafdb(tmp_path, "train")
