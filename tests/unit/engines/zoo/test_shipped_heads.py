"""The temporal heads that come with the package: whole, small, described, and tied to what they were made for."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines import zoo
from engines.errors import ModelUnavailable, WrongUse, WrongWeights
from engines.runtime import open_head, prove_batch_invariance
from engines.runtime.protocol import InputArray
from engines.spec import HeadSpec, stat_size
from engines.zoo import heads
from engines.zoo.cache import sha256_of
from tests.heads import write_test_head

HEADS = zoo.shipped_heads()


def some_rows(spec: HeadSpec, n: int) -> dict[str, InputArray]:
    """What tracks that have been seen for a while would give."""
    random = np.random.default_rng(4)
    probs = random.dirichlet(np.ones(7), n).astype(np.float32)
    context = np.stack([random.uniform(0.03, 0.3, n), *random.uniform(0.5, 40.0, (len(spec.context) - 1, n))], 1)
    rows: dict[str, InputArray] = {"probs": probs, "context": context.astype(np.float32)}
    if spec.stat != "none":
        rows["stat"] = random.random((n, stat_size(spec.stat, 0)), np.float32)
    state = random.dirichlet(np.ones(spec.hidden), n).astype(np.float32)
    # What a filter carries in c is 1 once there is a past, or the label it holds.
    held = np.ones((n, spec.hidden)) if spec.name == "ema" else np.eye(spec.hidden)[np.arange(n) % spec.hidden]
    return rows | {"h": state, "c": held.astype(np.float32)}


def test_they_are_there_and_small() -> None:
    assert HEADS == ("ema", "ema-hysteresis", "ema-hysteresis-remapped", "temporal")
    assert sum(path.stat().st_size for path in heads.SHIPPED.iterdir()) < 2_000_000
    for name in HEADS:
        assert zoo.load_head(name)[0].model_id in (heads.SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    card = (heads.SHIPPED / "temporal.md").read_text(encoding="utf-8")
    assert "engines temporal train --config configs/temporal/head.yaml" in card


@pytest.mark.parametrize("name", HEADS)
def test_each_is_what_it_says_and_answers_alone_as_in_company(name: str, tmp_path: Path) -> None:
    spec, network = zoo.load_head(name)
    assert spec.name == name
    assert sha256_of(network) == spec.sha256
    assert spec.n_features == 0, "a simulator cannot make features"
    assert spec.valence_arousal_trained_on is None
    assert spec.provenance is not None
    assert "gap_s" in spec.context
    head = open_head(network, spec, cache=tmp_path)
    try:
        assert prove_batch_invariance(head, lambda n: some_rows(spec, n), (2, 3, 7)).holds
        answer = head.infer(some_rows(spec, 5))
        assert set(answer) == {"probs", "h", "c"}
        assert np.allclose(answer["probs"].sum(1), 1, atol=1e-2)
    finally:
        head.close()


def test_the_default_of_a_model_is_a_head_that_is_there_and_fits() -> None:
    for expression, name in heads.DEFAULT_HEADS.items():
        zoo.check_fit(zoo.load_head(name)[0], zoo.spec_of(expression))
    assert zoo.default_head("fer") == "none"
    assert zoo.default_head("no-such-model") == "none"


def test_a_trained_head_is_refused_with_a_network_it_was_not_made_for() -> None:
    for name in ("temporal", "ema-hysteresis-remapped"):
        with pytest.raises(WrongUse, match="made for the probabilities of face-api, not of fer"):
            zoo.check_fit(zoo.load_head(name)[0], zoo.spec_of("fer"))
    zoo.check_fit(zoo.load_head("ema")[0], zoo.spec_of("fer"))


def test_a_damaged_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in heads.SHIPPED.glob("temporal.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(heads, "SHIPPED", tmp_path)
    assert zoo.shipped_heads() == ("temporal",)
    network = tmp_path / "temporal.onnx"
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(WrongWeights, match="refused"):
        zoo.load_head("temporal")


def test_a_path_is_a_path_and_a_name_that_is_none_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = write_test_head(tmp_path)
    assert zoo.load_head(str(described)) == zoo.load_head(described)
    with pytest.raises(ModelUnavailable, match="ema-hysteresis"):
        zoo.load_head("temporel")
    # A name of the package wins over a file that is called so here.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporal").write_text("{}")
    assert zoo.load_head("temporal")[0].name == "temporal"


def test_an_older_description_without_the_newer_fields_is_read(tmp_path: Path) -> None:
    described = write_test_head(tmp_path)
    plain = msgspec.json.decode(described.read_bytes())
    for name in ("context", "backbone", "provenance"):
        del plain[name]
    described.write_bytes(msgspec.json.encode(plain))
    spec, _ = zoo.load_head(described)
    assert (spec.context, spec.backbone, spec.provenance) == ((), None, None)
