from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.data import Annotations, DataConfig, OnError, Split, open_frames, open_with_findings
from engines.errors import BadData, WrongUse
from tests.engines.data import layouts

NAN = float("nan")


def _config(
    root: Path, split: Split = "train", annotations: Annotations = "expression", on_error: OnError = "skip"
) -> DataConfig:
    return DataConfig(kind="aff-wild2", path=str(root), split=split, annotations=annotations, on_error=on_error)


def test_expression_and_rating_of_a_video_are_joined_on_the_frame(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    frames, findings = open_with_findings(_config(tmp_path))
    assert frames.videos == ("10-a", "11-b_left")
    assert frames.video.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert frames.frame.tolist() == [1, 2, 3, 4, 1, 2, 5]
    assert frames.expression.tolist() == [0, 4, -1, 6, 1, 2, 0]
    np.testing.assert_array_equal(frames.valence, np.array([0.5, NAN, 0.0, -1.0, NAN, NAN, NAN], np.float32))
    np.testing.assert_array_equal(frames.arousal, np.array([-0.25, NAN, 0.125, 1.0, NAN, NAN, NAN], np.float32))
    assert frames.annotated.all(), "a frame without an expression but with a rating is annotated"
    assert findings.damage == {}
    assert findings.left_out["annotated frames without a crop"].count == 2


@pytest.mark.parametrize(
    ("annotations", "videos", "annotated"),
    [
        ("expression", ("10-a", "11-b_left"), 7),
        ("valence_arousal", ("10-a", "12-c"), 7),
        ("either", ("10-a", "11-b_left", "12-c"), 10),
        ("both", ("10-a",), 2),
    ],
)
def test_the_annotations_choose_the_videos(
    tmp_path: Path, annotations: Annotations, videos: tuple[str, ...], annotated: int
) -> None:
    layouts.affwild2(tmp_path)
    frames = open_frames(_config(tmp_path, annotations=annotations))
    assert frames.videos == videos
    assert frames.annotated.sum() == annotated


def test_of_videos_annotated_twice_only_frames_with_both_count(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    frames = open_frames(_config(tmp_path, annotations="both"))
    assert len(frames) == 4, "the others stay as the past"
    assert frames.expression.tolist() == [0, -1, -1, 6]
    assert np.isnan(frames.valence).tolist() == [False, True, True, False]


def test_a_rating_of_the_other_part_is_never_taken(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    layouts.affwild2_video(tmp_path, "11-b_left", part="Validation_Set", rating=[(0.9, 0.9)] * 5, crops=[])
    frames, findings = open_with_findings(_config(tmp_path))
    assert np.isnan(frames.valence[frames.video == 1]).all()
    assert findings.left_out["videos whose valence and arousal belong to the validation part"].names == ["11-b_left"]


def test_the_other_spelling_of_the_training_part_is_known(tmp_path: Path) -> None:
    layouts.affwild2_video(tmp_path, "10-a", part="Training_Set", expression=[0, 1])
    assert len(open_frames(_config(tmp_path))) == 2


def test_test_videos_come_from_the_list_of_their_track(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    expression = open_frames(_config(tmp_path, "test"))
    assert expression.videos == ("30-t",)
    assert expression.frame.tolist() == [1, 2, 4]
    assert not expression.annotated.any()
    assert open_frames(_config(tmp_path, "test", "valence_arousal")).videos == ("31-t_right",)
    (tmp_path / "expression_test_set.txt").rename(tmp_path / "mine.txt")
    with pytest.raises(WrongUse, match="test_list"):
        open_frames(_config(tmp_path, "test"))
    named = DataConfig(kind="aff-wild2", path=str(tmp_path), split="test", test_list=str(tmp_path / "mine.txt"))
    assert open_frames(named).videos == ("30-t",)


def test_aligned_crops_have_their_own_folder(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path, folder="cropped_aligned")
    with pytest.raises(WrongUse, match="cropped is no folder"):
        open_frames(_config(tmp_path))
    aligned = DataConfig(kind="aff-wild2", path=str(tmp_path), crops="aligned")
    assert open_frames(aligned).pictures.read(0, 20).shape == (20, 20, 3)


@pytest.mark.parametrize(
    "header",
    [
        "Neutral,Happiness,Sadness,Surprise,Fear,Disgust,Anger",
        "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
        "0",
    ],
)
def test_another_order_of_classes_is_refused_even_where_damage_is_skipped(tmp_path: Path, header: str) -> None:
    layouts.affwild2(tmp_path)
    layouts.write_lines(tmp_path / "annotations" / "EXPR_Set" / "Train_Set" / "10-a.txt", header, [0, 1, 2, 3])
    with pytest.raises(BadData, match=r"10-a\.txt begins with"):
        open_frames(_config(tmp_path))


def test_arousal_before_valence_is_refused(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    layouts.write_lines(tmp_path / "annotations" / "VA_Set" / "Train_Set" / "10-a.txt", "arousal,valence", ["0,0"] * 4)
    with pytest.raises(BadData, match="valence,arousal is expected"):
        open_frames(_config(tmp_path))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["0", "x", "1", "1"], "line 3 is no class number"),
        (["0", "1", "1", "7"], "line 5 is 7"),
        (["0", "-2", "1", "1"], "line 3 is -2"),
        ([], "no frame"),
    ],
)
def test_an_expression_file_that_cannot_be_read_takes_its_video_out(
    tmp_path: Path, lines: list[str], told: str
) -> None:
    layouts.affwild2(tmp_path)
    path = tmp_path / "annotations" / "EXPR_Set" / "Train_Set" / "10-a.txt"
    layouts.write_lines(path, layouts.EXPRESSION_HEADER, lines)
    frames, findings = open_with_findings(_config(tmp_path))
    assert frames.videos == ("11-b_left",)
    assert told in findings.damage["expression files that cannot be read"].names[0]
    with pytest.raises(BadData, match=r"10-a\.txt"):
        open_frames(_config(tmp_path, on_error="refuse"))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["0,0", "0", "0,0", "0,0"], "line 3 is no pair"),
        (["0,0", "0,0", "0,0,0", "0,0"], "line 4 is no pair"),
        (["0,0", "0.5,1.5", "0,0", "0,0"], "line 3 is outside"),
        (["0,0", "nan,0", "0,0", "0,0"], "line 3 is outside"),
    ],
)
def test_a_rating_file_that_cannot_be_read_leaves_the_expressions(tmp_path: Path, lines: list[str], told: str) -> None:
    layouts.affwild2(tmp_path)
    layouts.write_lines(tmp_path / "annotations" / "VA_Set" / "Train_Set" / "10-a.txt", "valence,arousal", lines)
    frames, findings = open_with_findings(_config(tmp_path))
    assert frames.videos == ("10-a", "11-b_left")
    assert np.isnan(frames.valence).all()
    assert told in findings.damage["valence-arousal files that cannot be read"].names[0]
    assert open_frames(_config(tmp_path, annotations="valence_arousal")).videos == ("12-c",)


def test_an_empty_annotation_file_is_damage(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    (tmp_path / "annotations" / "EXPR_Set" / "Train_Set" / "10-a.txt").write_text("\n")
    _, findings = open_with_findings(_config(tmp_path))
    assert "it is empty" in findings.damage["expression files that cannot be read"].names[0]


def test_an_annotation_of_the_wrong_length_is_counted(tmp_path: Path) -> None:
    layouts.affwild2_video(tmp_path, "short", expression=[0, 1, 2], crops=[1, 2, 3, 4, 5])
    layouts.affwild2_video(tmp_path, "uneven", expression=[0, 1, 2, 3], rating=[(0.5, 0.5)] * 3)
    frames, findings = open_with_findings(_config(tmp_path))
    assert findings.damage["crops past the end of their annotation"].names == ["short (3 lines)"]
    assert findings.damage["crops past the end of their annotation"].count == 2
    assert findings.damage["videos whose two annotations differ in length"].names == ["uneven (3, 4)"]
    assert frames.frame[frames.video == 0].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(frames.valence[frames.video == 1], np.array([0.5, 0.5, 0.5, NAN], np.float32))
    with pytest.raises(BadData, match="differ in length"):
        open_frames(_config(tmp_path, on_error="refuse"))


def test_a_video_without_crops_is_damage_and_a_hole_is_not(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    layouts.affwild2_video(tmp_path, "13-d", expression=[0, 1], crops=[])
    layouts.affwild2_video(tmp_path, "14-e", expression=[0, 1], crops=[])
    (tmp_path / "cropped" / "14-e").mkdir()
    frames, findings = open_with_findings(_config(tmp_path))
    assert frames.videos == ("10-a", "11-b_left")
    assert findings.damage["videos without crops"].names == ["13-d", "14-e"]
    with pytest.raises(BadData, match=r"videos without crops 2 \(13-d, 14-e\)"):
        open_frames(_config(tmp_path, on_error="refuse"))


def test_what_is_no_crop_in_a_folder_is_passed_over_and_odd_names_are_told(tmp_path: Path) -> None:
    layouts.affwild2_video(tmp_path, "10-a", expression=[0, 1, 2])
    folder = tmp_path / "cropped" / "10-a"
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "2.jpg").write_bytes((folder / "00002.jpg").read_bytes())
    (folder / "00002.jpg").unlink()
    frames, findings = open_with_findings(_config(tmp_path))
    assert frames.frame.tolist() == [1, 3]
    assert findings.damage["crops with an odd name"].count == 1


def test_without_annotation_folders_it_is_wrong_use(tmp_path: Path) -> None:
    layouts.affwild2_video(tmp_path, "10-a", crops=[1])
    with pytest.raises(WrongUse, match="EXPR_Set"):
        open_frames(_config(tmp_path))
