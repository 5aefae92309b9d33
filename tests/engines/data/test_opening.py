from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.data import DataConfig, concatenate, data_config, open_all, open_frames, open_with_findings, take
from engines.errors import BadData, WrongUse
from tests.engines.data import layouts
from tests.engines.data.made import frames_of


def test_settings_come_from_a_plain_mapping() -> None:
    config = data_config({"kind": "raf-db", "path": "x", "split": "test", "on_error": "refuse"})
    assert config == DataConfig(kind="raf-db", path="x", split="test", on_error="refuse")


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ({"kind": "raf-db", "path": "x", "colour": 1}, "colour"),
        ({"kind": "fer2013", "path": "x"}, "fer2013"),
        ({"kind": "raf-db"}, "path names the folder"),
        ({"kind": "synthetic", "path": "x"}, "leave path out"),
        ({"kind": "raf-db", "path": "x", "synthetic": {}}, "settings of the kind synthetic"),
        ({"kind": "raf-db", "path": "x", "split": "stills"}, "only the synthetic set"),
        ({"kind": "affectnet", "path": "x", "split": "test"}, "no test set"),
        ({"kind": "affectnet", "path": "x", "crops": "aligned"}, "cropped faces only"),
        ({"kind": "raf-db", "path": "x", "annotations": "both"}, "Aff-Wild2"),
        ({"kind": "raf-db", "path": "x", "limit": 0}, "at least 1"),
        ("raf-db", "no data set"),
    ],
)
def test_wrong_settings_are_wrong_use(plain: object, told: str) -> None:
    with pytest.raises(WrongUse, match=told):
        data_config(plain)


def test_the_synthetic_set_is_opened_in_the_same_place() -> None:
    drawn = {"n_train_identities": 2, "videos_per_identity": 1, "frames_per_video": 5}
    frames = open_frames(data_config({"kind": "synthetic", "split": "train", "synthetic": drawn, "limit": 7}))
    assert len(frames) == 7
    assert len(frames.videos) == 2
    assert frames.pictures.read(6, 32).shape == (32, 32, 3)


def test_damaged_pictures_are_skipped_or_refused_when_pictures_are_checked(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, [1, 2, 3], [])
    layouts.truncate(tmp_path / "Image" / "aligned" / "train_00002_aligned.jpg")
    unchecked = open_frames(DataConfig(kind="raf-db", path=str(tmp_path)))
    with pytest.raises(BadData, match=r"train_00002_aligned\.jpg is truncated"):
        unchecked.pictures.read(1, 8)
    frames, findings = open_with_findings(DataConfig(kind="raf-db", path=str(tmp_path), check_images=True))
    assert frames.expression.tolist() == [6, 2]
    assert frames.pictures.read(1, 8).shape == (8, 8, 3)
    assert findings.damage["unreadable pictures"].count == 1
    with pytest.raises(BadData, match="unreadable pictures 1"):
        open_frames(DataConfig(kind="raf-db", path=str(tmp_path), check_images=True, on_error="refuse"))


def test_what_was_skipped_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layouts.rafdb(tmp_path, [1] * 9, [])
    for i in range(1, 8):
        (tmp_path / "Image" / "aligned" / f"train_{i:05d}_aligned.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        open_frames(DataConfig(kind="raf-db", path=str(tmp_path)))
    (said,) = caplog.messages
    assert "raf-db-train: skipped missing pictures: 7 (train_00001_aligned.jpg, " in said
    assert said.endswith("train_00005_aligned.jpg and 2 more)")


def test_sets_are_joined_without_sharing_videos(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path / "raf", [1, 4], [])
    layouts.affectnet_csv(tmp_path / "net", [0, 6, 7])
    frames = open_all(
        [
            DataConfig(kind="affectnet", path=str(tmp_path / "net")),
            DataConfig(kind="raf-db", path=str(tmp_path / "raf")),
        ]
    )
    assert frames.name == "affectnet-train + raf-db-train"
    assert frames.expression.tolist() == [0, 1, 6, 4]
    assert np.isfinite(frames.valence).tolist() == [True, True, False, False]
    assert len(np.unique(frames.video)) == 4
    assert frames.videos[3] == "raf-db-train/train_00002_aligned.jpg"
    assert frames.pictures.read(3, 100).shape == (100, 100, 3)
    with pytest.raises(WrongUse, match="at least one"):
        open_all([])


def test_videos_of_joined_sets_stay_apart_and_in_order() -> None:
    joined = concatenate([frames_of([2, 3], [0, 1, 2, 3, 4]), frames_of([1, 2], [5, 6, 0], name="other")])
    assert joined.video.tolist() == [0, 0, 1, 1, 1, 2, 3, 3]
    assert joined.videos == ("made/v0", "made/v1", "other/v0", "other/v1")
    assert [joined.pictures.read(i, 4)[0, 0, 0] for i in range(8)] == [0, 1, 2, 3, 4, 0, 1, 2]


def test_a_part_keeps_rows_together() -> None:
    part = take(frames_of([3, 3], [0, 1, 2, 3, 4, 5]), np.array([1, 2, 5]))
    assert part.expression.tolist() == [1, 2, 5]
    assert [part.pictures.read(i, 4)[0, 0, 0] for i in range(3)] == [1, 2, 5]
    assert part.video.tolist() == [0, 0, 1]
    for wrong in ([2, 1], [1, 1]):
        with pytest.raises(WrongUse):
            take(part, np.array(wrong))


def test_no_torch_is_needed() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import engines.data, engines.data.checking, engines.cli.data; "
        "small = {'n_train_identities': 1, 'frames_per_video': 3}; "
        "engines.data.open_frames(engines.data.data_config({'kind': 'synthetic', 'synthetic': small}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
