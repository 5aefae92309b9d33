"""The experiment whole, tiny: every row is there and comes out the same twice; and its arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from engines.cli import cli
from engines.data.frames import AnnotatedFrames
from engines.data.synthetic import SyntheticConfig, synthetic_frames
from engines.evaluation import experiment
from engines.evaluation.experiment import CONDITIONS, EMA, FUSION, ROWS, PaperExperiment, SeedResult, run_paper
from engines.evaluation.experiment_report import METRICS, markdown, report, scores_of, summary
from engines.evaluation.smoothing import SHARES, Smoothing, averaged, fit_smoothing
from engines.metrics import challenge_expression_score, confusion
from engines.spec import N_PROBS
from engines.training.answers import AnswersOfVideos, figures_of, fused
from engines.training.features import Features

TINY = PaperExperiment(
    data=SyntheticConfig(
        n_stills_identities=20,
        stills_per_identity=8,
        n_train_identities=3,
        n_validation_identities=2,
        n_test_identities=3,
        videos_per_identity=1,
        frames_per_video=70,
        fps=3.0,
    ),
    seeds=(5,),
    side_px=32,
    backbone_epochs=1,
    head_epochs=2,
    head_units=16,
    lstm_units=8,
    backbone_batch_size=32,
    head_batch_size=32,
)


@pytest.fixture(scope="module")
def twice() -> tuple[list[SeedResult], list[SeedResult]]:
    said: list[str] = []
    first, again = (run_paper(TINY, processes=1, say=said.append) for _ in range(2))
    assert sum("model 6" in text for text in said) == 2 * len(CONDITIONS)
    return first, again


def test_every_row_has_its_figures_under_both_conditions(twice: tuple[list[SeedResult], list[SeedResult]]) -> None:
    found = summary(twice[0])
    for condition in CONDITIONS:
        assert tuple(found["rows"][condition]) == ROWS
        for row in ROWS:
            values = found["rows"][condition][row]
            assert 0 <= values["challenge"]["mean"] <= 1
            # A model of the expression alone has no valence and arousal.
            assert (values["va"]["mean"] is None) == (row in ("1", "3", "5"))
            assert values["challenge"]["se"] is None, "one seed has no standard error"
    assert set(found["shown"].values()) == {None}


def test_the_same_seed_gives_the_same_figures(twice: tuple[list[SeedResult], list[SeedResult]]) -> None:
    first, again = twice
    assert summary(first) == summary(again)
    assert first[0].smoothing == again[0].smoothing
    assert first[0].cpu_s > 0


def test_what_is_kept_can_be_written_and_read(twice: tuple[list[SeedResult], list[SeedResult]]) -> None:
    found = report(TINY, twice[0], date="2026-01-01", command="here", wall_s=90.0, processes=1)
    plain = json.loads(msgspec.json.encode(found))
    assert plain["n_test_videos_a_seed"] == 3
    assert plain["n_test_frames_a_seed"] == 210
    assert plain["settings"]["data"]["noise"] == 1.0
    assert plain["versions"]["torch"]
    assert plain["seeds"][0]["best_epochs"]["in_time"].keys() == {"1", "2", "3", "4", "5", "6"}
    assert np.isfinite(plain["differences"]["in_time"]["4 - 2"]["se_people"])


def test_the_page_has_all_rows_and_says_what_it_is(twice: tuple[list[SeedResult], list[SeedResult]]) -> None:
    text = markdown(report(TINY, twice[0], date="2026-01-01", command="here", wall_s=90.0, processes=1))
    assert "never evidence about people" in text
    assert text.count("| 6 Emotion VA Frame with LSTM |") == len(CONDITIONS)
    assert text.count("smoothed (EMA)") == len(CONDITIONS)
    assert text.count("one seed cannot tell") == 4
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| ") and "±" not in line}
    assert widths <= {len(METRICS) + 2, 5}


def test_shuffled_pictures_have_their_own_features() -> None:
    data = TINY.data
    frames = synthetic_frames(data, "test")
    marks = np.arange(len(frames), dtype=np.float32)
    features = Features(marks[:, None], np.tile(marks[:, None], (1, N_PROBS)))
    mixed = experiment._as_fed(data, "test", features, "shuffled")
    assert mixed.features is not None
    there = mixed.features.features[:, 0].astype(int)
    assert (mixed.frames.expression == frames.expression[there]).all()
    assert (mixed.frames.pictures.read(9, 24) == frames.pictures.read(int(there[9]), 24)).all()


def test_means_errors_and_paired_differences_are_those_of_the_seeds(
    twice: tuple[list[SeedResult], list[SeedResult]],
) -> None:
    one = twice[0][0]

    def scored(seed: int, two: float, four: float) -> SeedResult:
        figures = {
            condition: {row: replace(got, challenge=four if row == "4" else two) for row, got in rows.items()}
            for condition, rows in one.figures.items()
        }
        return replace(one, seed=seed, figures=figures)

    found = summary([scored(1, 0.30, 0.40), scored(2, 0.34, 0.42), scored(3, 0.38, 0.50)])
    two = found["rows"]["in_time"]["2"]["challenge"]
    assert two["mean"] == pytest.approx(0.34)
    assert two["se"] == pytest.approx(0.04 / 3**0.5)
    gap = found["differences"]["in_time"]["4 - 2"]["challenge"]
    assert gap["mean"] == pytest.approx(0.10)
    assert gap["se"] == pytest.approx(0.02 / 3**0.5)
    assert found["shown"]["4 - 2 is 2 standard errors or more above zero with frames in time"] is True
    assert found["shown"]["6 - 4 is 2 standard errors or more above zero with frames in time"] is False


def test_scores_of_confusions_are_the_metric_itself() -> None:
    rng = np.random.default_rng(3)
    truth, said = rng.integers(0, 5, (2, 200)), rng.integers(0, 6, (2, 200))
    counts = np.stack([confusion(truth[i], said[i]) for i in range(2)])
    assert scores_of(counts) == pytest.approx([challenge_expression_score(truth[i], said[i]) for i in range(2)])


def _noisy() -> tuple[AnswersOfVideos, AnnotatedFrames]:
    """Answers that flicker around the truth of drawn videos."""
    frames = synthetic_frames(TINY.data, "train")
    rng = np.random.default_rng(0)
    probs = 0.3 * np.eye(N_PROBS, dtype=np.float32)[frames.expression] + rng.dirichlet(np.ones(N_PROBS), len(frames))
    noise = rng.normal(0, 0.8, (2, len(frames))).astype(np.float32)
    return AnswersOfVideos(probs.astype(np.float32) / 1.3, frames.valence + noise[0], frames.arousal + noise[1]), frames


def test_smoothing_is_fitted_and_helps_answers_that_flicker() -> None:
    answers, frames = _noisy()
    fitted = fit_smoothing(answers, frames)
    assert fitted.probs in SHARES
    assert fitted.probs < 1
    assert fitted.affect < 1
    smooth, bare = figures_of(fitted.apply(answers, frames.video), frames), figures_of(answers, frames)
    assert smooth.challenge is not None
    assert bare.challenge is not None
    assert smooth.challenge > bare.challenge + 0.03
    assert smooth.score > bare.score + 0.05


def test_an_average_never_crosses_into_another_video() -> None:
    rows = np.array([[1.0], [0.0], [5.0], [5.0]], np.float32)
    assert averaged(rows, np.array([0, 0, 1, 1]), 0.25).ravel().tolist() == [1.0, 0.75, 5.0, 5.0]
    answers, frames = _noisy()
    same = Smoothing(1.0, 1.0).apply(answers, frames.video)
    assert np.allclose(same.probs, answers.probs)


def test_fusion_averages_valence_over_the_models_that_have_it() -> None:
    plain = AnswersOfVideos(np.full((2, 7), 0.1, np.float32))
    rated = AnswersOfVideos(np.full((2, 7), 0.3, np.float32), np.ones(2, np.float32), -np.ones(2, np.float32))
    both = fused([plain, rated])
    assert both.probs == pytest.approx(0.2)
    assert both.valence is not None
    assert both.valence.tolist() == [1, 1]
    assert fused([plain]).valence is None


@pytest.mark.parametrize("wrong", [{"seeds": []}, {"seeds": [1, 1]}, {"data": {"shuffled": True}}, {"lr": 1}])
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, PaperExperiment)


def test_rows_are_the_six_models_the_fusion_and_the_average() -> None:
    assert ROWS == ("1", "2", "3", "4", "5", "6", FUSION, EMA)


def test_the_command_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "PaperExperiment", lambda **changes: msgspec.structs.replace(TINY, **changes))
    out = tmp_path / "here"
    done = CliRunner().invoke(cli, ["experiment", "paper", "--out", str(out), "--seeds", "1", "--processes", "1"])
    assert done.exit_code == 0, done.output
    assert json.loads((out / "paper-synthetic.json").read_text())["settings"]["seeds"] == [1]
    assert (out / "paper-synthetic.md").read_text() in done.output


def test_the_command_draws_a_page_of_faces(tmp_path: Path) -> None:
    out = tmp_path / "faces.png"
    done = CliRunner().invoke(
        cli, ["experiment", "synthetic-sheet", "--out", str(out), "--people", "1", "--side", "32"]
    )
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"\x89PNG")
