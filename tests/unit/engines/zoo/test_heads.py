from pathlib import Path

import numpy as np
import pytest

from engines import zoo
from engines.errors import EngineError, ModelUnavailable, WrongWeights
from engines.runtime import open_head, prove_batch_invariance
from engines.runtime.protocol import InputArray
from engines.spec import StatKind, stat_size
from tests.heads import write_test_head

STATS: tuple[StatKind, ...] = ("none", "probs", "mean", "min_max_mean")


def rows(n: int, stat: StatKind, n_features: int, hidden: int) -> dict[str, InputArray]:
    sizes = {"features": n_features, "probs": 7, "h": hidden, "c": hidden}
    if stat != "none":
        sizes["stat"] = stat_size(stat, n_features)
    random = [np.random.default_rng((9, i)) for i in range(n)]
    return {name: np.stack([r.standard_normal(size, np.float32) for r in random]) for name, size in sizes.items()}


@pytest.mark.parametrize("stat", STATS)
def test_a_head_runs_alone_as_in_company(stat: StatKind, tmp_path: Path) -> None:
    spec, path = zoo.load_head(write_test_head(tmp_path, stat, n_features=20, hidden=8))
    head = open_head(path, spec, cache=tmp_path / "cache", precision="fp32")
    report = prove_batch_invariance(head, lambda n: rows(n, stat, 20, 8), (2, 3, 7, 19))
    assert report.holds, report
    answer = head.infer(rows(3, stat, 20, 8))
    assert {name: values.shape for name, values in answer.items()} == {
        "probs": (3, 7),
        "valence": (3,),
        "arousal": (3,),
        "h": (3, 8),
        "c": (3, 8),
    }
    assert np.allclose(answer["probs"].sum(1), 1)
    head.close()


def test_the_seed_fixes_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, _ = zoo.load_head(write_test_head(tmp_path / "a"))
    second, _ = zoo.load_head(write_test_head(tmp_path / "b"))
    assert first == second


def test_state_matters_and_is_carried_by_the_caller(tmp_path: Path) -> None:
    spec, path = zoo.load_head(write_test_head(tmp_path, n_features=20, hidden=8))
    head = open_head(path, spec, cache=tmp_path / "cache")
    inputs = rows(1, "probs", 20, 8)
    first = {name: values.copy() for name, values in head.infer(inputs).items()}
    again = head.infer(inputs)
    assert all(np.array_equal(again[name], first[name]) for name in first)
    carried = head.infer({**inputs, "h": first["h"], "c": first["c"]})
    assert not np.array_equal(carried["probs"], first["probs"])
    head.close()


def test_a_changed_or_missing_head_is_refused(tmp_path: Path) -> None:
    described = write_test_head(tmp_path)
    network = described.with_suffix(".onnx")
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(WrongWeights, match="export the head again"):
        zoo.load_head(described)
    network.unlink()
    with pytest.raises(ModelUnavailable, match=r"head\.json"):
        zoo.load_head(described)
    described.write_text("{}")
    network.write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="describes no head"):
        zoo.load_head(described)


def test_a_head_that_is_not_what_its_spec_says_is_refused(tmp_path: Path) -> None:
    spec, _ = zoo.load_head(write_test_head(tmp_path, "probs", n_features=20))
    (tmp_path / "other").mkdir()
    _, other = zoo.load_head(write_test_head(tmp_path / "other", "mean", n_features=20))
    with pytest.raises(EngineError, match="needs inputs"):
        open_head(other, spec, cache=tmp_path / "cache")
