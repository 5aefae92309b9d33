"""Is a crop's answer the same whatever shares its batch? Bit for bit, or the runner may not say so.

Engines choose their kernels by shape, so the sum inside a convolution can be taken in another order at batch 8 than
at batch 1 and end one bit apart; which sizes agree depends on the model, the input size and the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engines.runtime.protocol import FloatArray, InputArray, Runner

MakeInputs = Callable[[int], Mapping[str, InputArray]]


@dataclass(frozen=True)
class InvarianceReport:
    """`holds` when every output was bit-equal; `worst_difference` per output, 0.0 when equal."""

    holds: bool
    batches: tuple[int, ...]
    worst_difference: dict[str, float]


def prove_batch_invariance(
    runner: Runner, make_inputs: MakeInputs, batches: Sequence[int] = (2, 3, 4, 5, 8, 11)
) -> InvarianceReport:
    """Compare each row alone with the same row in batches of every given size, in order and reversed.

    `make_inputs(n)` gives n different rows; the first rows must not depend on n.
    """
    most = max(batches)
    rows = make_inputs(most)
    alone: dict[str, list[FloatArray]] = {}
    for i in range(most):
        for name, values in runner.infer({key: array[i : i + 1] for key, array in rows.items()}).items():
            alone.setdefault(name, []).append(values[0].copy())
    expected = {name: np.stack(values) for name, values in alone.items()}
    worst = dict.fromkeys(expected, 0.0)
    for n in batches:
        for order in (np.arange(n), np.arange(n)[::-1]):
            together = runner.infer({key: array[order] for key, array in rows.items()})
            for name, values in together.items():
                worst[name] = _larger(worst[name], difference(expected[name][order], values))
    return InvarianceReport(all(value == 0.0 for value in worst.values()), tuple(batches), worst)


def sizes_like_the_largest(
    infer: Callable[[Mapping[str, InputArray]], Mapping[str, FloatArray]],
    rows: Mapping[str, InputArray],
    sizes: Sequence[int],
) -> tuple[int, ...]:
    """Those of the batch `sizes` that give the very bits of the largest, which is always among them; smallest first.

    `infer` runs exactly the rows it is given; `rows` has at least as many as the largest size.
    """
    most = max(sizes)
    taken = {name: array[:most] for name, array in rows.items()}
    expected = {name: np.array(values) for name, values in infer(taken).items()}

    def same(size: int) -> bool:
        return all(
            difference(expected[name][at : at + size], values) == 0.0
            for at in range(0, most - size + 1, size)
            for name, values in infer({name: array[at : at + size] for name, array in taken.items()}).items()
        )

    return tuple(size for size in sorted(set(sizes)) if size == most or same(size))


def difference(a: FloatArray, b: FloatArray) -> float:
    """0.0 when the bits are equal; else the largest absolute difference, never 0."""
    if np.array_equal(a.view(np.uint32), b.view(np.uint32)):
        return 0.0
    largest = float(np.abs(a.astype(np.float64) - b).max())
    return largest if largest != 0.0 else float(np.finfo(np.float32).tiny)


def _larger(a: float, b: float) -> float:
    return b if np.isnan(b) or b > a else a


def random_pictures(n: int, height: int, width: int, seed: int = 0) -> InputArray:
    """(n,height,width,3) uint8: coloured blocks of several sizes, so that no layer sees the same everywhere."""
    pictures = np.empty((n, height, width, 3), np.uint8)
    for i in range(n):
        random = np.random.default_rng((seed, i))
        block = 4 << (i % 3)
        rows, columns = -(-height // block), -(-width // block)
        coarse = random.integers(0, 256, (rows, columns, 3), np.uint8)
        pictures[i] = coarse.repeat(block, 0).repeat(block, 1)[:height, :width]
    return pictures
