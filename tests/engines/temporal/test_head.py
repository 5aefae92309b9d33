"""The trained head: torch, stepwise and ONNX agree; training is repeatable and learns; what it reads counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from engines.cli import cli
from engines.errors import BadData, WrongUse
from engines.runtime import prove_batch_invariance
from engines.runtime.protocol import InputArray
from engines.spec import Provenance
from engines.temporal.filters import Bare, Ema, run_filter
from engines.temporal.judging import judge
from engines.temporal.making import load_made, scaling, write_filter, write_head
from engines.temporal.model import ContextHead
from engines.temporal.onnx_graphs import context_head_onnx, head_spec
from engines.temporal.residuals import ResidualTracks, load_tracks
from engines.temporal.running import answers_with, open_for_tracks
from engines.temporal.sequences import CONTEXT, Sequences, stat_of
from engines.temporal.simulator import TRAINING, simulate
from engines.temporal.training import TrainSettings, after_changes, answers_of, fit_remap, load_settings, train
from engines.zoo import load_head

SMALL = TrainSettings(units=16, dense=16, steps=2, tracks=4, observations=32)
RESIDUALS = ResidualTracks(load_tracks())


@pytest.fixture(scope="module")
def head() -> ContextHead:
    """Weights far from where training begins, so that everything counts."""
    torch.manual_seed(3)
    head = ContextHead(16, 16)
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return head.eval()


@pytest.fixture(scope="module")
def tracks() -> Sequences:
    return simulate(TRAINING, 6, 60, np.random.default_rng(4), RESIDUALS)


def written(head: ContextHead, folder: Path) -> Path:
    weights = {name: np.asarray(value.numpy(), np.float32) for name, value in head.state_dict().items()}
    content = context_head_onnx(weights, scaling())
    spec = head_spec(
        content,
        name="temporal",
        version="0",
        hidden=head.units,
        stat="probs",
        context=CONTEXT,
        provenance=Provenance(licence="none", origin="here", trained_on="nothing"),
    )
    write_head(folder / "temporal.onnx", content, spec)
    return folder / "temporal.json"


def test_whole_tracks_equal_stepwise_in_torch(head: ContextHead, tracks: Sequences) -> None:
    whole = answers_of(head, tracks)
    probs, stat, context = (torch.from_numpy(a) for a in (tracks.probs, stat_of(tracks.probs), tracks.context))
    state: tuple[torch.Tensor, torch.Tensor] | None = None
    with torch.inference_mode():
        for t in range(tracks.labels.shape[1]):
            now = slice(t, t + 1)
            logits, state = head(probs[:, now], stat[:, now], context[:, now], state)
            np.testing.assert_allclose(logits[:, 0].softmax(-1).numpy(), whole[:, t], atol=1e-5)


def test_the_engine_says_what_torch_says_at_every_step(head: ContextHead, tracks: Sequences, tmp_path: Path) -> None:
    spec, network = load_head(written(head, tmp_path))
    runner = open_for_tracks(network, spec, tmp_path)
    try:
        np.testing.assert_allclose(answers_with(runner, spec)(tracks), answers_of(head, tracks), atol=1e-4)

        def rows(n: int) -> dict[str, InputArray]:
            return {
                "probs": tracks.probs[:1].reshape(-1, 7)[:n],
                "stat": stat_of(tracks.probs[:1])[0, :n],
                "context": np.ascontiguousarray(tracks.context[0, :n]),
                "h": np.full((n, 16), 0.1, np.float32),
                "c": np.full((n, 16), -0.2, np.float32),
            }

        assert prove_batch_invariance(runner, rows, (2, 3, 7)).holds
    finally:
        runner.close()


@pytest.mark.parametrize("column", range(len(CONTEXT)), ids=CONTEXT)
def test_each_part_of_the_context_counts(head: ContextHead, tracks: Sequences, column: int) -> None:
    other = tracks.context.copy()
    other[..., column] = other[..., column] * 0.5 + 1.0
    changed = answers_of(head, Sequences(tracks.probs, other, tracks.labels))
    assert np.abs(changed - answers_of(head, tracks)).max() > 1e-3


def test_before_training_the_head_is_nearly_the_bare_net(tracks: Sequences) -> None:
    torch.manual_seed(0)
    answers = answers_of(ContextHead(16, 16), tracks)
    assert (answers.argmax(-1) == tracks.probs.argmax(-1)).mean() > 0.9


def test_the_same_seed_trains_the_same_weights() -> None:
    first, second = train(SMALL, RESIDUALS).state_dict(), train(SMALL, RESIDUALS).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train(TrainSettings(units=16, dense=16, steps=2, tracks=4, observations=32, seed=8), RESIDUALS).state_dict()
    assert not torch.equal(first["lstm.weight_hh_l0"], other["lstm.weight_hh_l0"])


def test_a_little_training_already_helps_the_likelihood() -> None:
    settings = TrainSettings(units=16, dense=16, steps=40, tracks=16, observations=64, learning_rate=1e-2)
    trained = train(settings, RESIDUALS)
    held_out = simulate(TRAINING, 40, 100, np.random.default_rng(77), RESIDUALS)
    assert judge(answers_of(trained, held_out), held_out).nll < judge(held_out.probs, held_out).nll - 0.05


def test_the_remap_helps_single_frames_of_the_training_simulator() -> None:
    remap = fit_remap(SMALL, RESIDUALS)
    held_out = simulate(TRAINING, 40, 100, np.random.default_rng(78), RESIDUALS)
    assert judge(run_filter(Bare(remap=remap), held_out), held_out).nll < judge(held_out.probs, held_out).nll - 0.05


def test_what_comes_after_a_change_by_hand() -> None:
    labels = np.array([[0, 0, 1, 1, 1, 2, 2], [3, 3, 3, 3, 3, 3, 3]])
    recent = after_changes(labels, 2).astype(int).tolist()
    assert recent == [[0, 0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]]


def test_one_command_makes_the_head_and_the_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.temporal.tuning.MARGINS", (0.1,))
    monkeypatch.setattr("engines.temporal.tuning.TAUS_S", (0.1, 0.3))
    monkeypatch.setattr("engines.temporal.tuning.TRUSTS", (0.3,))
    config = tmp_path / "small.yaml"
    config.write_text("{steps: 2, tracks: 4, observations: 32, units: 8, dense: 8}")
    out = tmp_path / "made"
    done = CliRunner().invoke(cli, ["temporal", "train", "--config", str(config), "--out", str(out)])
    assert done.exit_code == 0, done.output
    spec, network = load_head(out / "temporal.json")
    assert (spec.hidden, spec.context, spec.backbone, spec.n_features) == (8, CONTEXT, "face-api", 0)
    assert spec.valence_arousal_trained_on is None
    assert network.stat().st_size < 50_000
    made = load_made(out)
    assert made.settings.units == 8
    names = [one.name for one in made.filters]
    assert names[:4] == ["bare", "ema", "ema-hysteresis", "hmm"]
    assert names[4:] == [f"{name}, remapped" for name in names[:4]]
    judged = CliRunner().invoke(
        cli, ["temporal", "judge", str(out), "--seeds", "2", "--tracks", "4", "--observations", "40"]
    )
    assert judged.exit_code == 0, judged.output
    assert "| temporal head |" in judged.output
    assert "What decides" in judged.output


def test_a_filter_is_written_as_a_head(tmp_path: Path) -> None:
    spec = write_filter(Ema(tau_s=0.2), tmp_path / "ema.onnx")
    assert load_head(tmp_path / "ema.json")[0] == spec
    assert (spec.name, spec.backbone, spec.context, spec.stat) == ("ema", None, ("gap_s",), "none")


def test_wrong_settings_and_missing_files_are_said_so(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("unitz: 4")
    with pytest.raises(WrongUse, match="unitz"):
        load_settings(wrong)
    wrong.write_text("steps: 0")
    with pytest.raises(WrongUse, match="at least 1"):
        load_settings(wrong)
    with pytest.raises(WrongUse, match="cannot be read"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(BadData, match="engines temporal train"):
        load_made(tmp_path)
