from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.data import DataConfig, OnError, open_frames, open_with_findings
from engines.data.affectnet import read_affectnet
from engines.errors import BadData, WrongUse
from tests.engines.data import layouts
from tests.engines.data.made import drawn

ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
AS_OURS = [0, 4, 5, 6, 3, 2, 1]
"""Neutral, Happy, Sad, Surprise, Fear, Disgust, Anger in the order of EXPRESSIONS."""


def _config(root: Path, on_error: OnError = "skip") -> DataConfig:
    return DataConfig(kind="affectnet", path=str(root), on_error=on_error)


def test_the_csv_form_gives_the_seven_expressions_and_counts_the_rest(tmp_path: Path) -> None:
    names = layouts.affectnet_csv(tmp_path, ALL)
    frames, findings = read_affectnet(tmp_path, "train")
    assert frames.expression.tolist() == AS_OURS
    assert frames.videos == tuple(names[:7])
    np.testing.assert_allclose(frames.valence, [0.1 * i for i in range(7)], atol=1e-6)
    np.testing.assert_allclose(frames.arousal, [-0.05 * i for i in range(7)], atol=1e-6)
    assert {cause: found.count for cause, found in findings.left_out.items()} == {
        "Contempt": 1, "None": 1, "Uncertain": 1, "No-Face": 1,
    }  # fmt: skip
    assert not findings.damage


def test_pictures_of_the_csv_form_are_cut_to_the_face_box(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0])
    picture = open_frames(_config(tmp_path)).pictures.read(0, 48)
    face = cv2.resize(drawn(0)[6:18, 4:20], (48, 48), interpolation=cv2.INTER_LINEAR)
    assert picture.shape == (48, 48, 3)
    assert np.abs(picture.astype(int) - face.astype(int)).mean() < 8, "what JPEG changes"
    other = cv2.resize(drawn(0)[6:12, 4:16], (48, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(picture.astype(int) - other.astype(int)).mean() > 12
    assert picture[..., 0].mean() > picture[..., 2].mean() + 50, "RGB, and the drawing is red"


def test_minus_two_means_not_rated(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0, 1])
    listed = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    listed.write_text(listed.read_text().replace("1,0.10,-0.050", "1,-2,-2"))
    frames, _ = read_affectnet(tmp_path, "train")
    assert np.isnan(frames.valence).tolist() == np.isnan(frames.arousal).tolist() == [False, True]


def test_a_list_without_header_has_the_official_columns(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [3, 4], "validation.csv", header=False)
    frames, _ = read_affectnet(tmp_path, "validation")
    assert frames.expression.tolist() == [6, 3]


def test_a_list_with_other_columns_is_refused(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0])
    listed = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    listed.write_text("subDirectory_filePath,expression\n0/0000.jpg,0\n")
    with pytest.raises(BadData, match="lacks the columns face_x"):
        read_affectnet(tmp_path, "train")
    listed.write_text("0/0000.jpg,0\n")
    with pytest.raises(BadData, match="2 columns"):
        read_affectnet(tmp_path, "train")
    listed.write_text("")
    with pytest.raises(BadData, match="is empty"):
        read_affectnet(tmp_path, "train")


@pytest.mark.parametrize(
    ("old", "new"), [(",2,0.20", ",eleven,0.20"), (",2,0.20", ",11,0.20"), (",2,0.20", ",2,1.7"), ("0,4,6", "0,x,6")]
)
def test_a_row_that_cannot_be_read_is_counted_by_its_line(tmp_path: Path, old: str, new: str) -> None:
    layouts.affectnet_csv(tmp_path, [0, 1, 2])
    listed = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    lines = listed.read_text().splitlines()
    lines[3] = lines[3].replace("2/0002.jpg,4,6", "2/0002.jpg,x,6") if new == "0,x,6" else lines[3].replace(old, new)
    listed.write_text("\n".join(lines) + "\n")
    frames, findings = read_affectnet(tmp_path, "train")
    assert len(frames) == 2
    assert findings.damage["rows that cannot be read"].names == ["training.csv line 4"]


def test_a_list_that_is_no_text_is_damage_or_refused_but_never_a_crash(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0, 1])
    listed = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    listed.write_bytes(listed.read_bytes().replace(b"1/0001.jpg", b"\0\xff/1.jpg"))
    frames, findings = read_affectnet(tmp_path, "train")
    assert len(frames) == 1
    assert findings.n_damaged == 1
    listed.write_text(listed.read_text(errors="replace") + '"' + "x" * 200_000 + "\n")
    with pytest.raises(BadData, match="cannot be read as a list"):
        read_affectnet(tmp_path, "train")


def test_a_picture_listed_twice_counts_once(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0, 1])
    listed = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    listed.write_text(listed.read_text() + listed.read_text().splitlines()[1] + "\n")
    frames, findings = read_affectnet(tmp_path, "train")
    assert len(frames) == 2
    assert findings.n_damaged == 1


def test_missing_pictures_are_skipped_or_refused_by_name(tmp_path: Path) -> None:
    names = layouts.affectnet_csv(tmp_path, [0, 1, 2])
    (tmp_path / "Manually_Annotated" / "Manually_Annotated_Images" / names[1]).unlink()
    frames, findings = open_with_findings(_config(tmp_path))
    assert frames.videos == (names[0], names[2])
    assert findings.damage["missing pictures"].names == [names[1]]
    with pytest.raises(BadData, match=rf"missing pictures 1 \({names[1]}\)"):
        open_frames(_config(tmp_path, "refuse"))


def test_a_list_whose_pictures_are_all_missing_leaves_nothing_to_use(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0])
    (tmp_path / "Manually_Annotated").rename(tmp_path / "elsewhere")
    with pytest.raises(BadData, match="no picture is left"):
        open_frames(_config(tmp_path))


def test_the_npy_form_reads_strings_and_numbers(tmp_path: Path) -> None:
    layouts.affectnet_npy(tmp_path, ALL[:8])
    np.save(tmp_path / "train_set" / "annotations" / "3_exp.npy", np.int64(3))
    frames, findings = read_affectnet(tmp_path, "train")
    assert frames.expression.tolist() == AS_OURS
    assert frames.videos[3] == "3.jpg"
    np.testing.assert_allclose(frames.valence[:6], [0.1 * i for i in range(6)], atol=1e-6)
    assert np.isnan(frames.valence[6]), "one of the two not rated: neither is"
    assert findings.left_out["Contempt"].names == ["7.jpg"]
    assert frames.pictures.read(3, 24)[..., 0].mean() > 100


def test_the_npy_form_counts_every_kind_of_damage(tmp_path: Path) -> None:
    layouts.affectnet_npy(tmp_path, [0, 1, 2, 3, 4, 5, 6])
    folder = tmp_path / "train_set"
    (folder / "images" / "0.jpg").unlink()
    (folder / "annotations" / "1_exp.npy").unlink()
    (folder / "annotations" / "2_val.npy").unlink()
    (folder / "annotations" / "3_aro.npy").write_bytes(b"")
    (folder / "annotations" / "4_exp.npy").write_bytes(b"not an array")
    np.save(folder / "annotations" / "5_val.npy", np.zeros(3))
    frames, findings = read_affectnet(tmp_path, "train")
    assert frames.videos == ("6.jpg",)
    assert {cause: found.names for cause, found in findings.damage.items()} == {
        "missing pictures": ["0.jpg"],
        "missing annotations": ["1_exp.npy", "2_val.npy"],
        "annotations that cannot be read": ["3", "4", "5"],
    }


def test_a_pickled_annotation_is_not_run(tmp_path: Path) -> None:
    layouts.affectnet_npy(tmp_path, [0, 1])
    np.save(tmp_path / "train_set" / "annotations" / "0_exp.npy", np.array({"0": 1}, object), allow_pickle=True)
    frames, findings = read_affectnet(tmp_path, "train")
    assert len(frames) == 1
    assert findings.damage["annotations that cannot be read"].names == ["0"]


def test_a_folder_with_neither_form_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="holds no AffectNet train set"):
        open_frames(_config(tmp_path))
    with pytest.raises(WrongUse, match="is no folder"):
        open_frames(_config(tmp_path / "none"))
