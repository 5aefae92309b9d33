"""Two processes on one batch come to what one process comes to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from engines.errors import WrongUse
from engines.models import build_model
from engines.training.feed import feed_of
from engines.training.ranks import Ranks, join_ranks, launch
from tests.engines.training import ranks_run
from tests.engines.training.made_up import config, frames

ROOT = Path(__file__).parents[3]
FALLS_OVER = """
import os, sys, time
if os.environ["RANK"] == "1":
    sys.exit("the last one fell over")
time.sleep(600)
"""


def test_two_processes_learn_what_one_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launch(2, [sys.executable, "-m", "tests.engines.training.ranks_run", str(tmp_path / "told.json")]) == 0
    together, alone = json.loads((tmp_path / "told.json").read_text()), ranks_run.run(Ranks())
    for one, two in zip(alone["rows"], together["rows"], strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5, nan_ok=True)
    assert together["weights"] == pytest.approx(alone["weights"], rel=1e-3, abs=1e-4)
    losses = [row["loss"] for row in alone["rows"]]
    assert losses[1] < losses[0]  # and they did learn


def test_one_that_falls_over_ends_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(2, [sys.executable, "-c", FALLS_OVER]) == 1
    assert "the last one fell over" in capfd.readouterr().err


def test_ranks_share_a_batch_between_them() -> None:
    one, held = config(batch_size=12, accumulate=2), frames()
    alone = list(feed_of(one, held, None, Ranks()).steps(1, 0))
    shared = [list(feed_of(one, held, None, Ranks(rank, 2)).steps(1, 0)) for rank in (0, 1)]
    for step, first, second in zip(alone, *shared, strict=True):
        for piece, left, right in zip(step, first, second, strict=True):
            joined = left.inputs["pictures"].tolist() + right.inputs["pictures"].tolist()
            assert joined == piece.inputs["pictures"].tolist()
            assert left.expression.tolist() + right.expression.tolist() == piece.expression.tolist()


def test_a_batch_that_cannot_be_dealt_evenly_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="dealt evenly to 5 devices"):
        feed_of(config(batch_size=12), frames(), None, Ranks(0, 5))


def test_alone_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert join_ranks("cpu") == Ranks(0, 1, "cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(WrongUse, match="no CUDA device"):
        join_ranks("cuda")
    model = build_model(config().model, seed=1)
    assert Ranks().wrap(model) is model
