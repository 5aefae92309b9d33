"""A temporal head inside the whole: its state is carried, named, and resumed bit for bit."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from engines.spec import ContextName
from streamer.bench.clips import loop_clip
from tests.heads import write_test_head
from tests.product import (
    ONE_FACE,
    children_of,
    committing_often,
    needs_clips,
    observations,
    result_bytes,
    runs,
    start,
    streamer,
    until,
)

pytestmark = [pytest.mark.models, pytest.mark.clips, pytest.mark.usefixtures("models"), needs_clips]


def test_a_recurrent_head_answers_and_is_resumed_exactly(tmp_path: Path) -> None:
    context: tuple[ContextName, ...] = ("gap_s", "detector_score", "face_px", "roll_deg", "yaw_deg")
    head = write_test_head(tmp_path, stat="min_max_mean", context=context)
    clip = tmp_path / "face.mkv"
    loop_clip(ONE_FACE, clip, 18.0)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    assert streamer("run", clip, "--head", head, "--quiet", cwd=tmp_path / "whole").returncode == 0
    seen = observations(tmp_path / "whole" / "affect.db")
    assert seen[0].model.count("+") == 2  # detector, expression network and head are named
    [record] = runs(tmp_path / "whole" / "affect.db").values()
    assert record.models["head"] == seen[0].model.rpartition("+")[2]
    answers, bare = np.array([one.probs for one in seen]), np.array([one.bare.probs for one in seen])
    assert np.abs(answers - bare).max() > 0.05

    often = committing_often(tmp_path)
    process = start("run", clip, "--head", head, "--json", *often, cwd=tmp_path / "killed")
    database = tmp_path / "killed" / "affect.db"
    until(lambda: database.is_file() and n_done(database) > 20, "the first commit")
    for child in children_of(process):
        child.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["sources"][0]["restarts"] == 1
    assert result_bytes(database) == result_bytes(tmp_path / "whole" / "affect.db")


def test_the_mean_head_smooths(tmp_path: Path) -> None:
    assert streamer("run", ONE_FACE, "--head", "mean", "--quiet", cwd=tmp_path).returncode == 0
    seen = observations(tmp_path / "affect.db")
    bare = np.array([one.bare.probs for one in seen])
    last = seen[40]
    np.testing.assert_allclose(last.probs, bare[25:41].mean(axis=0), atol=2e-6)


def n_done(database: Path) -> int:
    try:
        return len(observations(database))
    except Exception:  # the file exists before its topics do
        return 0
