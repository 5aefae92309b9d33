"""STAT against brute force: whatever came before the block, it is a function of the block alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.spec import N_PROBS, StatKind, row_width, stat_size
from streamer.errors import NotFinite
from streamer.state.stat import LARGEST, Ring
from streamer.types import FloatArray

KINDS: tuple[StatKind, ...] = ("probs", "mean", "min_max_mean")


def exact_mean(block: FloatArray) -> FloatArray:
    """The mean in integers of the documented unit, by Python's unbounded arithmetic."""
    s = len(block)
    unit = 2 ** (53 - 16 - (s - 1).bit_length())
    sums = [sum(int(np.rint(float(x) * unit)) for x in column) for column in block.T]
    return np.array([total / (unit * s) for total in sums], np.float64).astype(np.float32)


def brute_force(kind: StatKind, block: FloatArray) -> FloatArray:
    if kind == "mean":
        return exact_mean(block)
    return np.concatenate([block.min(axis=0), block.max(axis=0), exact_mean(block)])


def padded(rows: list[FloatArray], s: int) -> FloatArray:
    last = rows[-s:]
    return np.stack([last[0]] * (s - len(last)) + last)


def random_rows(kind: StatKind, n: int, n_features: int, seed: int, scale: float = 1.0) -> list[FloatArray]:
    rng = np.random.default_rng(seed)
    rows: NDArray[np.float32] = (rng.normal(size=(n, row_width(kind, n_features))) * scale).astype(np.float32)
    return list(rows)


def push(ring: Ring, row: FloatArray) -> FloatArray:
    out = np.full(stat_size(ring.kind, ring.n_features), np.nan, np.float32)
    ring.stage(row[: ring.n_features], row[ring.n_features :], out)
    ring.commit()
    return out


@given(
    kind=st.sampled_from(KINDS),
    s=st.integers(1, 40),
    n=st.integers(1, 120),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-6, 1.0, 1000.0]),
)
@settings(derandomize=True, max_examples=150, deadline=None)
def test_rolling_equals_brute_force_bit_for_bit(kind: StatKind, s: int, n: int, seed: int, scale: float) -> None:
    ring = Ring(s, kind, 4)
    rows = random_rows(kind, n, 4, seed, scale)
    for i, row in enumerate(rows):
        block = padded(rows[: i + 1], s)
        assert push(ring, row).tobytes() == brute_force(kind, block).tobytes()
        assert np.array_equal(ring.rows(), block)


@given(s=st.integers(1, 20), before=st.integers(1, 60), after=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_a_restored_ring_goes_on_bit_for_bit(s: int, before: int, after: int, seed: int) -> None:
    rows = random_rows("min_max_mean", before + after, 3, seed)
    ring, restored = Ring(s, "min_max_mean", 3), Ring(s, "min_max_mean", 3)
    for row in rows[:before]:
        push(ring, row)
    restored.restore(ring.rows().copy())
    for row in rows[before:]:
        assert push(ring, row).tobytes() == push(restored, row).tobytes()


def test_the_oldest_is_repeated_and_weighs_on_the_mean() -> None:
    ring = Ring(4, "probs")
    push(ring, np.full(7, 0.5, np.float32))
    out = push(ring, np.full(7, 0.25, np.float32))
    assert out[14:].tolist() == [(3 * 0.5 + 0.25) / 4] * 7


def test_large_numbers_of_the_past_leave_no_residue() -> None:
    ring = Ring(8, "mean", 1)
    for row in random_rows("mean", 20_000, 1, 5, 1e4):
        push(ring, row)
    rows = random_rows("mean", 8, 1, 6, 1e-4)
    for row in rows:
        out = push(ring, row)
    assert out.tobytes() == exact_mean(np.stack(rows)).tobytes()


def test_the_mean_is_as_good_as_float32_can_tell() -> None:
    ring = Ring(128, "mean", 50)
    rows = random_rows("mean", 128, 50, 9, 5.0)
    for row in rows:
        out = push(ring, row)
    assert np.allclose(out, np.mean(np.stack(rows), axis=0, dtype=np.float64), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 2 * LARGEST])
@pytest.mark.parametrize("column", [0, 9])
def test_what_is_not_finite_never_enters(poison: float, column: int) -> None:
    ring, clean = Ring(3, "min_max_mean", 3), Ring(3, "min_max_mean", 3)
    bad = np.zeros(10, np.float32)
    bad[column] = poison
    for row in random_rows("min_max_mean", 9, 3, 1):
        with pytest.raises(NotFinite):
            ring.stage(bad[:3], bad[3:], np.empty(30, np.float32))
        assert push(ring, row).tobytes() == push(clean, row).tobytes()


def test_staging_without_commit_leaves_no_trace() -> None:
    ring, clean = Ring(5, "min_max_mean", 2), Ring(5, "min_max_mean", 2)
    others = random_rows("min_max_mean", 40, 2, 3, 50.0)
    for row, other in zip(random_rows("min_max_mean", 40, 2, 2), others, strict=True):
        ring.stage(other[:2], other[2:], np.empty(27, np.float32))
        assert push(ring, row).tobytes() == push(clean, row).tobytes()


def test_the_block_ends_with_the_staged_row() -> None:
    ring = Ring(3, "none")
    seen: list[float] = []
    for value in range(1, 20):
        ring.stage(np.empty(0, np.float32), np.full(7, value, np.float32), np.empty(0, np.float32))
        seen.append(float(value))
        expected = ([seen[0]] * 3 + seen)[-3:] if len(seen) >= 3 else [seen[0]] * (3 - len(seen)) + seen
        assert ring.block()[:, 0].tolist() == expected
        ring.commit()


def test_sizes_are_those_of_the_paper() -> None:
    assert stat_size("probs", 2048) == 3 * N_PROBS == 21
    assert stat_size("mean", 2048) == 2055
    assert stat_size("min_max_mean", 2048) == 3 * 2055
    assert stat_size("none", 2048) == 0
