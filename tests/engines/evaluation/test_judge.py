"""Models on both paths, their Fusion, missing frames, and the tables that come of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from engines.cli.evaluate import evaluate
from engines.data.config import DataConfig
from engines.data.frames import AnnotatedFrames
from engines.errors import BadData, WrongUse
from engines.evaluation.candidates import TrainedCandidate, open_candidate
from engines.evaluation.judge import JudgedSet, judge_models, judged, open_judged_set
from engines.evaluation.missing import NONE, MissingFrames, truth_of, with_missing
from engines.evaluation.paper_tables import TABLE_2, TABLE_3
from engines.evaluation.report import confusion_csv, figures_csv, markdown, plain, write_report
from engines.metrics import accuracy, authors_expression_score, calibration_error, ccc, challenge_expression_score
from engines.models import AffectModel, LstmConfig, build_model
from engines.shipping.export import box_crop, export_model
from engines.shipping.metadata import About
from engines.spec import Provenance
from engines.training.answers import AnswersOfVideos, fused
from engines.training.features import network_input, read_pictures
from engines.training.folder import DataSummary, save_checkpoint, write_plain
from tests.engines.data.layouts import affwild2_video
from tests.engines.training.made_up import RECURRENT, SIDE_PX, WINDOWED, config, frames, model_config

QUIET: Callable[[int, int], None] = lambda done, total: None  # noqa: E731 - a progress that tells nobody
FORMS: dict[str, dict[str, Any]] = {
    "image": {},
    "stat": {"stat": "min_max_mean"},
    "windowed": {"stat": "probs", "lstm": WINDOWED},
    "two-layers": {"stat": "mean", "lstm": LstmConfig(form="windowed", units=5, layers=2)},
    "recurrent": {"stat": "probs", "lstm": RECURRENT},
}
HELD_OUT = frames(3, 15, seed=2)


def lively(form: str) -> AffectModel:
    """A model whose answers differ from frame to frame, as fresh weights' do not: batch norms have seen pictures."""
    model = build_model(model_config(**FORMS[form]), seed=7).train()
    for norm in model.backbone.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 1.0
    pictures = torch.from_numpy(read_pictures(HELD_OUT, np.arange(len(HELD_OUT)), SIDE_PX))
    with torch.no_grad():
        model.backbone(network_input(pictures, model.backbone))
        model.eval().backbone.classifier.weight.mul_(8)
        for branch in (model.head.expression, model.head.valence, model.head.arousal):
            assert branch is not None
            last = branch[-1]
            assert isinstance(last, torch.nn.Linear)
            last.weight.mul_(40)
    return model


def training_folder(folder: Path, model: AffectModel, name: str, *, part: str = "whole", number: int = 0) -> Path:
    one = config(model_config(**{**_form_of(model), "number": number}), name=name, part=part)
    folder.mkdir()
    write_plain(folder / "config.json", one)
    write_plain(folder / "data.json", DataSummary(train=(), validation=()))
    save_checkpoint(folder / "best.pt", one, state_dict=model.state_dict(), epoch=1, score=0.5, figures={})
    return folder


def _form_of(model: AffectModel) -> dict[str, Any]:
    return {"stat": model.config.stat, "lstm": model.config.lstm}


def exported(folder: Path, model: AffectModel, name: str) -> Path:
    about = About(name, "1", Provenance(licence="none", origin="made up", trained_on="nothing"))
    export_model(model.backbone, model.head, folder, about, crop=box_crop(SIDE_PX))
    return folder


def columns(answers: AnswersOfVideos) -> list[np.ndarray]:
    assert answers.valence is not None
    assert answers.arousal is not None
    return [answers.probs, answers.valence, answers.arousal]


@pytest.mark.parametrize("form", FORMS)
def test_frame_by_frame_is_the_whole_in_torch(form: str) -> None:
    one = TrainedCandidate("m", 0, lively(form), True, "cpu")
    whole, stepped = one.offline(HELD_OUT, QUIET), one.streaming(HELD_OUT, QUIET)
    assert whole.probs.std(0).max() > 0.01
    for ours, theirs in zip(columns(whole), columns(stepped), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("form", ["stat", "two-layers", "recurrent"])
def test_frame_by_frame_is_the_whole_bit_for_bit_in_the_engine_and_torchs_within_a_thousandth(
    form: str, tmp_path: Path
) -> None:
    model = lively(form)
    folder = exported(tmp_path / "export", model, "paper-4")
    with open_candidate(folder, precision="fp32", cache=tmp_path / "cache") as one:
        assert (one.name, one.number) == ("paper-4", 4)
        assert one.engine.endswith("fp32")
        whole, stepped = one.offline(HELD_OUT, QUIET), one.streaming(HELD_OUT, QUIET)
    torchs = TrainedCandidate("m", 0, model, True, "cpu").offline(HELD_OUT, QUIET)
    for ours, theirs, wanted in zip(columns(whole), columns(stepped), columns(torchs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(ours, wanted, atol=1e-3)


def test_a_video_begins_without_the_past_of_the_one_before() -> None:
    one = TrainedCandidate("m", 0, lively("recurrent"), True, "cpu")
    second = np.flatnonzero(HELD_OUT.video == 1)
    alone = one.streaming(cut(HELD_OUT, second), QUIET)
    np.testing.assert_array_equal(one.streaming(HELD_OUT, QUIET).probs[second], alone.probs)


def cut(held: AnnotatedFrames, rows: np.ndarray) -> AnnotatedFrames:
    from engines.data.joining import take

    return take(held, rows)


def test_fusion_is_the_average_of_answers() -> None:
    first = AnswersOfVideos(
        np.eye(7, dtype=np.float32)[[0, 1]], np.array([0.5, -0.5], np.float32), np.array([1, 0], np.float32)
    )
    second = AnswersOfVideos(np.eye(7, dtype=np.float32)[[0, 2]])
    both = fused([first, second])
    np.testing.assert_allclose(both.probs, (first.probs + second.probs) / 2)
    assert both.valence is not None
    np.testing.assert_array_equal(both.valence, [0.5, -0.5])
    assert fused([second, second]).valence is None


def test_a_frame_without_a_crop_has_the_answer_of_the_frame_before() -> None:
    answers = AnswersOfVideos(
        np.eye(7, dtype=np.float32)[[4, 2, 6]],
        np.array([0.1, 0.2, 0.3], np.float32),
        np.array([0.4, 0.5, 0.6], np.float32),
    )
    missing = MissingFrames(
        np.array([0, 0, -1, 2]), np.array([4, 4, 0, 1]), np.zeros(4, np.float32), np.zeros(4, np.float32)
    )
    everything = with_missing(answers, missing)
    assert everything.labels.tolist() == [4, 2, 6, 4, 4, 0, 6]
    assert everything.valence is not None
    assert everything.valence.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.1, 0.1, 0, 0.3])
    held = cut(HELD_OUT, np.arange(3))
    assert truth_of(held, missing).expression.tolist() == [*held.expression.tolist(), 4, 4, 0, 1]
    assert with_missing(answers, NONE) is answers


def test_annotated_frames_of_aff_wild2_without_a_crop_are_found_and_counted(tmp_path: Path) -> None:
    rating = [(0.1, 0.2), (0.3, 0.1), (-5, -5), (0.2, 0.2), (0.0, 0.5), (0.4, 0.4)]
    affwild2_video(tmp_path, "a", part="Validation_Set", expression=[0, 4, 4, -1, 5, 6], rating=rating, crops=[2, 3, 5])
    affwild2_video(tmp_path, "b", part="Validation_Set", expression=[1, 1], crops=[1, 2])
    (tmp_path / "annotations" / "VA_Set" / "Validation_Set").mkdir(parents=True, exist_ok=True)
    one = DataConfig(kind="aff-wild2", path=str(tmp_path), split="validation")
    held_out = open_judged_set([one, one])
    assert (len(held_out.frames), held_out.n_frames) == (10, 16)
    missing = held_out.missing
    # Frames 1, 4 (rated alone) and 6 of video a: before the first crop, after frame 3, after frame 5.
    assert missing.previous.tolist() == [-1, 1, 2, -1, 6, 7]
    assert missing.expression.tolist()[:3] == [0, -1, 6]
    assert missing.valence[:3].tolist() == pytest.approx([0.1, 0.2, 0.4])
    answers = AnswersOfVideos(np.eye(7, dtype=np.float32)[[4, 4, 6, 1, 1] * 2])
    found = judged("m", 4, "offline", "torch", answers, held_out)
    # Of video a, frames 2, 3, 6 are right, 5 is not, and 1 is Neutral by rule; b is right.
    assert found.figures.n_expression == 14
    assert found.figures.accuracy == pytest.approx(12 / 14)


def test_a_judgement_of_training_folders_and_exports(tmp_path: Path) -> None:
    image, temporal = lively("image"), lively("recurrent")
    folders = [
        training_folder(tmp_path / "image", image, "paper-2", number=2),
        training_folder(tmp_path / "temporal", temporal, "own"),
        training_folder(tmp_path / "backbone", image, "bare", part="backbone"),
        exported(tmp_path / "export", temporal, "own"),
    ]
    held_out = JudgedSet(HELD_OUT, NONE)
    found = judge_models(
        folders,
        held_out,
        paths=("offline", "streaming"),
        fusion=True,
        precision="fp32",
        cache=tmp_path / "cache",
    )
    names = ["paper-2", "own", "bare", f"own ({folders[3]})", "Fusion"]
    assert [one.name for one in found.judged] == names * 2
    assert [one.name for one in found.agreements] == names
    assert all(one.same_labels == 1 for one in found.agreements)
    assert found.agreements[3].bit_equal
    assert found.agreements[2].worst_va is None
    first = found.judged[0]
    truth, labels = HELD_OUT.expression, first.answers.labels
    assert first.figures.accuracy == accuracy(truth, labels)
    assert first.figures.authors == authors_expression_score(truth, labels)
    assert first.figures.challenge == challenge_expression_score(truth, labels)
    assert first.figures.calibration_error == calibration_error(first.answers.probs, truth)
    assert first.answers.valence is not None
    assert first.figures.valence == ccc(HELD_OUT.valence, first.answers.valence)
    np.testing.assert_allclose(
        found.judged[4].answers.probs, np.mean([one.answers.probs for one in found.judged[:4]], axis=0), atol=1e-6
    )
    bare = found.judged[2]
    np.testing.assert_allclose(bare.answers.probs, first_probs(image), atol=1e-6)
    check_tables(markdown(found), found.judged[0].figures.authors, found.judged[0].figures.challenge)
    check_files(found, tmp_path / "tables")


def first_probs(model: AffectModel) -> np.ndarray:
    from engines.training.features import embed

    return embed(model.backbone, HELD_OUT).probs


def table(text: str, title: str) -> list[list[str]]:
    """The cells of the first table behind a title."""
    lines = text[text.index(title) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[:1] + rows[2:]


def check_tables(text: str, authors: float | None, challenge: float | None) -> None:
    """Every row and number of the paper's tables is there, in its order, with ours beside."""
    head, *rows = table(text, "**Table II**")
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(by_name)[:7] == ["[7]", "1", "2", "3", "4", "5", "6"]
    assert list(by_name)[-1] == "Fusion"
    assert {"own", "bare"} <= by_name.keys()
    for row in TABLE_2[1:]:
        printed = by_name[row.model]
        wanted = (row.accuracy, row.f1, row.expression_score, row.arousal, row.valence, row.va_score)
        for name, value in zip(("Acc.", "F1", "Expr. Score", "Aro.", "Val.", "VA Score"), wanted, strict=True):
            assert printed[f"{name} paper"] == ("-" if value is None else f"{value:.3f}")
    assert authors is not None
    assert by_name["2"]["Expr. Score ours"] == f"{authors:.3f}"
    assert by_name["4"]["Acc. ours"] == "-"
    assert by_name["bare"]["VA Score ours"] == "-"
    head, *rows = table(text, "**Table III**")
    third = [dict(zip(head, row, strict=True)) for row in rows]
    assert [(row["Track"], row["Model"]) for row in third] == [
        (str(one.track), "[7]" if one.row.model == "baseline" else one.row.model) for one in TABLE_3
    ]
    assert challenge is not None
    expression = [row for row in third if row["Track"] == "2" and row["Model"] == "2"]
    assert [row["Expr. Score ours"] for row in expression] == [f"{challenge:.3f}"] * 2
    assert [row["Expr. Score paper"] for row in expression] == ["0.356", "0.389"]
    assert third[1]["Expr. Score ours"] == "-"
    assert third[1]["VA Score ours"] != "-"


def check_files(found: Any, folder: Path) -> None:
    write_report(found, folder)
    assert (folder / "report.md").read_text() == markdown(found)
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(plain(found)))
    rows = list(csv.DictReader(io.StringIO(figures_csv(found))))
    assert [row["model"] for row in rows] == [one.name for one in found.judged]
    assert float(rows[0]["challenge"]) == found.judged[0].figures.challenge
    counts = list(csv.DictReader(io.StringIO(confusion_csv(found))))
    assert len(counts) == 7 * len(found.judged)
    total = sum(int(counts[i]["Happy"]) for i in range(7))
    named = found.judged[0].answers.labels[HELD_OUT.expression >= 0]
    assert total == (named == 4).sum()


def test_the_command_judges_by_what_a_run_was_validated_on_or_by_a_file(tmp_path: Path) -> None:
    folder = training_folder(tmp_path / "run", lively("stat"), "paper-4", number=4)
    drawn = {"n_validation_identities": 1, "videos_per_identity": 1, "frames_per_video": 12}
    (tmp_path / "set.yaml").write_text(yaml.safe_dump({"kind": "synthetic", "split": "validation", "synthetic": drawn}))
    command = [str(folder), "--data", str(tmp_path / "set.yaml"), "--path", "both", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(evaluate, command, catch_exceptions=False)
    assert "12 crops of 1 videos." in done.stdout
    assert "Streaming against offline" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.md", "report.json", "figures.csv", "confusion.csv",
    }  # fmt: skip
    told = CliRunner().invoke(evaluate, [*command[:3], "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["models"][0]["paper_table_2"]["expression_score"] == 0.492


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("kind: imagenet", "imagenet"),
        ("[]", "names no set"),
        ("{kind: synthetic, colour: red}", "colour"),
        ("[1, 2", "is not YAML"),
    ],
)
def test_a_file_that_names_no_set_is_wrong_use(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text(content)
    with pytest.raises(WrongUse, match=says):
        CliRunner().invoke(evaluate, [str(tmp_path), "--data", str(tmp_path / "set.yaml")], catch_exceptions=False)


def test_what_cannot_be_judged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUse, match="neither a training folder"), open_candidate(tmp_path / "empty"):
        pass
    with pytest.raises(WrongUse, match="name at least two"):
        judge_models([tmp_path], JudgedSet(HELD_OUT, NONE), paths=("offline",), fusion=True)
    with pytest.raises(WrongUse, match="name the set with --data"):
        CliRunner().invoke(evaluate, [str(tmp_path / "empty")], catch_exceptions=False)
    bare = AnnotatedFrames(
        "bare",
        HELD_OUT.pictures,
        HELD_OUT.videos,
        HELD_OUT.video,
        HELD_OUT.frame,
        np.full(len(HELD_OUT), -1),
        np.full(len(HELD_OUT), np.nan, np.float32),
        np.full(len(HELD_OUT), np.nan, np.float32),
    )
    monkeypatch.setattr("engines.evaluation.judge.open_frames", lambda one: bare)
    with pytest.raises(BadData, match="nothing to judge by"):
        open_judged_set([DataConfig(kind="synthetic")])
