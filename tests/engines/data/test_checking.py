from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines.data import checking
from engines.data.checking import check_set, detect_kind
from engines.data.published import PUBLISHED, PublishedPart
from engines.errors import WrongUse
from tests.engines.data import layouts

SMALL: dict[str, tuple[PublishedPart, ...]] = {
    "affectnet": (
        PublishedPart("train", "train", "expression", 7),
        PublishedPart("validation", "validation", "expression", 2),
    ),
    "raf-db": (PublishedPart("train", "train", "expression", 3), PublishedPart("test", "test", "expression", 2)),
    "aff-wild2": (
        PublishedPart("expression, train", "train", "expression", 6, 2),
        PublishedPart("expression, validation", "validation", "expression", 2, 1),
        PublishedPart("expression, test", "test", "expression", 3, 1, annotated=False),
        PublishedPart("both, train", "train", "both", 2, 1),
        PublishedPart("both, validation", "validation", "both", 2, 1),
        PublishedPart("valence-arousal, test", "test", "valence_arousal", 3, 1, annotated=False),
    ),
}
"""What the small sets of `layouts` would have been published as."""


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PUBLISHED", SMALL)


def _affectnet(root: Path) -> None:
    layouts.affectnet_csv(root, list(range(11)))
    layouts.affectnet_npy(root, [0, 5], "val_set")


def _engines(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engines.cli", "data", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_published_sizes_are_those_of_the_paper() -> None:
    sizes = {(kind, part.title): (part.n_images, part.n_videos) for kind, parts in PUBLISHED.items() for part in parts}
    assert sizes == {
        ("affectnet", "train"): (283901, None),
        ("affectnet", "validation"): (3500, None),
        ("raf-db", "train"): (12271, None),
        ("raf-db", "test (the paper's validation)"): (3068, None),
        ("aff-wild2", "expression, train"): (917835, 251),
        ("aff-wild2", "expression, validation"): (318503, 69),
        ("aff-wild2", "expression, test"): (997332, 223),
        ("aff-wild2", "both, train"): (720365, 194),
        ("aff-wild2", "both, validation"): (254674, 57),
        ("aff-wild2", "valence-arousal, test"): (714986, 139),
    }


def test_the_kind_is_recognised(tmp_path: Path) -> None:
    _affectnet(tmp_path / "net")
    layouts.rafdb(tmp_path / "raf" / "basic", [1], [])
    layouts.affwild2(tmp_path / "wild")
    kinds = [detect_kind(tmp_path / name) for name in ("net", "raf", "wild")]
    assert kinds == ["affectnet", "raf-db", "aff-wild2"]
    with pytest.raises(WrongUse, match="no set is recognised"):
        detect_kind(tmp_path)
    layouts.rafdb(tmp_path / "net", [1], [])
    with pytest.raises(WrongUse, match="several sets are"):
        detect_kind(tmp_path / "net")


@pytest.mark.usefixtures("_small")
def test_whole_sets_are_complete(tmp_path: Path) -> None:
    _affectnet(tmp_path / "net")
    layouts.rafdb(tmp_path / "raf", [1, 2, 3], [4, 5])
    layouts.affwild2(tmp_path / "wild")
    for name in ("net", "raf", "wild"):
        report = check_set(tmp_path / name, images=True)
        assert report.complete, report
        assert [part.n_images for part in report.parts] == [part.n_images for part in SMALL[report.kind]]
    wild = check_set(tmp_path / "wild")
    assert wild.parts[0].by_expression == {
        "Neutral": 2, "Angry": 1, "Disgust": 1, "Fear": 0, "Happy": 1, "Sad": 0, "Surprise": 1,
    }  # fmt: skip
    assert wild.parts[2].by_expression == {}


@pytest.mark.usefixtures("_small")
def test_aligned_crops_alone_are_found(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path, folder="cropped_aligned")
    report = check_set(tmp_path)
    assert report.complete
    assert report.crops == "aligned"


@pytest.mark.usefixtures("_small")
def test_a_count_within_what_is_allowed_is_complete(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    (tmp_path / "cropped" / "10-a" / "00002.jpg").unlink()
    report = check_set(tmp_path)
    assert not report.complete
    assert report.parts[0].difference_percent == pytest.approx(-100 / 6)
    assert check_set(tmp_path, within_percent=20).complete


@pytest.mark.usefixtures("_small")
def test_a_lost_video_or_damage_is_never_within_what_is_allowed(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path / "wild")
    (tmp_path / "wild" / "annotations" / "EXPR_Set" / "Train_Set" / "11-b_left.txt").unlink()
    lost = check_set(tmp_path / "wild", within_percent=100)
    assert not lost.complete
    assert (lost.parts[0].n_videos, lost.parts[0].findings.damage) == (1, {})

    layouts.rafdb(tmp_path / "raf", [1, 2, 3], [4, 5])
    (tmp_path / "raf" / "Image" / "aligned" / "train_00002_aligned.jpg").unlink()
    assert not check_set(tmp_path / "raf", within_percent=100).complete


@pytest.mark.usefixtures("_small")
def test_missing_videos_parts_and_pictures_make_it_incomplete(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    (tmp_path / "cropped" / "11-b_left").rename(tmp_path / "lost")
    (tmp_path / "va_test_set.txt").unlink()
    report = check_set(tmp_path)
    by_title = {part.title: part for part in report.parts}
    assert by_title["expression, train"].findings.damage["videos without crops"].names == ["11-b_left"]
    assert by_title["expression, train"].n_videos == 1
    assert "no list of the valence-arousal track" in str(by_title["valence-arousal, test"].absent)
    assert by_title["valence-arousal, test"].difference_percent == -100
    assert by_title["both, train"].complete(0)
    assert not report.complete


@pytest.mark.usefixtures("_small")
def test_another_years_header_is_reported_not_raised(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    header = layouts.EXPRESSION_HEADER + ",Other"
    layouts.write_lines(tmp_path / "annotations" / "EXPR_Set" / "Train_Set" / "10-a.txt", header, [0, 1, 2, 7])
    report = check_set(tmp_path)
    assert "another year's" in str(report.parts[0].absent)
    assert not report.complete


@pytest.mark.usefixtures("_small")
def test_damaged_pictures_are_found_only_by_decoding(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, [1, 2, 3], [4, 5])
    layouts.truncate(tmp_path / "Image" / "aligned" / "test_0002_aligned.jpg")
    assert check_set(tmp_path).complete
    told: list[tuple[str, int, int]] = []
    report = check_set(tmp_path, images=True, n_threads=2, progress=lambda *progress: told.append(progress))
    assert not report.complete
    assert report.parts[1].n_images == 1
    assert "test_0002_aligned.jpg is truncated" in report.parts[1].findings.damage["unreadable pictures"].names[0]
    assert told == [("train", 3, 3), ("test", 2, 2)]


@pytest.mark.usefixtures("_small")
def test_a_damaged_frame_counts_in_no_part_that_has_it(tmp_path: Path) -> None:
    layouts.affwild2(tmp_path)
    layouts.truncate(tmp_path / "cropped" / "10-a" / "00004.jpg")
    layouts.truncate(tmp_path / "cropped" / "30-t" / "00001.jpg")
    found = {part.title: (part.n_images, part.findings.n_damaged) for part in check_set(tmp_path, images=True).parts}
    assert found == {
        "expression, train": (5, 1),
        "expression, validation": (2, 0),
        "expression, test": (2, 1),
        "both, train": (1, 0),
        "both, validation": (2, 0),
        "valence-arousal, test": (3, 0),
    }


def test_the_command_says_how_far_the_counts_are_and_what_is_missing(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, [1, 2, 3, 4], [5])
    (tmp_path / "Image" / "aligned" / "train_00003_aligned.jpg").unlink()
    done = _engines(str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "12,271" in done.stdout
    assert "-12,268 (-99.98 %)" in done.stdout
    assert "train: missing pictures: 1 (train_00003_aligned.jpg)" in done.stdout
    assert done.stdout.rstrip().endswith("incomplete or damaged; pictures not decoded (--images does)")


def test_the_command_answers_in_json_and_success_is_zero(tmp_path: Path) -> None:
    layouts.affectnet_csv(tmp_path, [0, 1, 7])
    done = _engines(str(tmp_path), "--json", "--images")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["kind"], told["complete"], told["images_decoded"]) == ("affectnet", False, True)
    train, validation = told["parts"]
    assert (train["n_images"], train["n_images_published"], train["by_expression"]["Happy"]) == (2, 283901, 1)
    assert train["findings"]["left_out"]["Contempt"] == {"count": 1, "names": ["2/0002.jpg"], "n_unnamed": 0}
    assert "holds no AffectNet validation set" in validation["absent"]

    layouts.affectnet_csv(tmp_path, [0, 1, 7], "validation.csv")
    whole = _engines(str(tmp_path), "--within", "100")
    assert whole.returncode == 0, whole.stdout
    assert "complete; pictures" in whole.stdout


@pytest.mark.parametrize(
    "arguments",
    [["nowhere"], ["."], [".", "--kind", "fer"], [".", "--kind", "affectnet", "--crops", "aligned"], []],
)
def test_wrong_use_is_two(tmp_path: Path, arguments: list[str]) -> None:
    there = [str(tmp_path / name) if name in (".", "nowhere") else name for name in arguments]
    done = _engines(*there)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
