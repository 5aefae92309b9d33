from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.runtime.invariance import difference, prove_batch_invariance, random_pictures
from engines.runtime.protocol import FloatArray, InputArray

FLOATS = st.lists(st.floats(width=32), min_size=1, max_size=8)


@settings(derandomize=True, deadline=None)
@given(FLOATS, st.integers(0, 7), st.integers(0, 31))
def test_any_flipped_bit_is_a_difference(values: list[float], where: int, bit: int) -> None:
    a = np.array(values, np.float32)
    b = a.copy()
    assert difference(a, b) == 0.0
    b.view(np.uint32)[where % len(b)] ^= np.uint32(1 << bit)
    with np.errstate(invalid="ignore"):
        assert difference(a, b) != 0.0


class Sums:
    """A fake engine: sums its rows, with an error of one bit for rows that share a batch of `wrong` or more."""

    precision = "fp32"
    device = "fake"

    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        sums = inputs["image"].reshape(len(inputs["image"]), -1).sum(1).astype(np.float32)
        return {"sum": np.nextafter(sums, np.float32(0)) if len(sums) >= self.wrong else sums, "zero": sums * 0}

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("wrong", "holds"), [(4, False), (9, True)])
def test_one_wrong_bit_in_a_larger_batch_is_found(wrong: int, holds: bool) -> None:
    report = prove_batch_invariance(Sums(wrong), lambda n: {"image": random_pictures(n, 8, 8)}, (2, 4, 8))
    assert report.holds is holds
    assert (report.worst_difference["sum"] > 0) is not holds
    assert report.worst_difference["zero"] == 0


def test_pictures_do_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(random_pictures(5, 9, 13)[:2], random_pictures(2, 9, 13))
