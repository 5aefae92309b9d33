from __future__ import annotations

import numpy as np
import pytest

from engines.errors import EngineError
from engines.spec import stat_size
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput, infer_all
from streamer.state.heads import MeanHead, PassthroughHead, TemporalHead
from tests.unit.state.scenes import ArithmeticHead, D, everything_head


def batch_of(head: TemporalHead, n: int, seed: int = 0, window: int = 5) -> HeadBatch:
    rng = np.random.default_rng(seed)
    needs = head.needs

    def some(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.random((n, *shape)).astype(np.float32)

    return HeadBatch(
        some(7),
        some(D) if needs.n_features else None,
        some(stat_size(needs.stat, needs.n_features)) if needs.stat != "none" else None,
        some(window, 7) if needs.windowed else None,
        some(needs.hidden) if needs.hidden else None,
        some(needs.hidden) if needs.hidden else None,
        some(len(needs.context)) if needs.context else None,
    )


def joined_bytes(output: HeadOutput) -> list[bytes]:
    columns = (output.probs, output.valence, output.arousal, output.h, output.c)
    return [b"" if column is None else column.tobytes() for column in columns]


def test_none_answers_what_the_backbone_said() -> None:
    batch = batch_of(PassthroughHead(), 3)
    assert np.array_equal(PassthroughHead().infer(batch).probs, batch.probs)
    assert PassthroughHead().needs == HeadNeeds()


def test_mean_answers_the_mean_of_the_block() -> None:
    batch = batch_of(MeanHead(), 3)
    assert batch.stat is not None
    assert np.array_equal(MeanHead().infer(batch).probs, batch.stat[:, 14:21])


@pytest.mark.parametrize("head", [PassthroughHead(), MeanHead(), everything_head()])
def test_a_batch_of_n_equals_n_singles_and_any_split(head: TemporalHead) -> None:
    batch = batch_of(head, 6)
    singles = [head.infer_all([batch.row(i)])[0] for i in range(6)]
    split = head.infer_all([batch.row(0), batch.row(5), batch.row(3)])
    whole = head.infer_all([batch])[0]
    for i in range(6):
        assert joined_bytes(whole.rows(i, i + 1)) == joined_bytes(singles[i])
    for place, i in enumerate((0, 5, 3)):
        assert joined_bytes(split[place]) == joined_bytes(singles[i])


def test_streams_without_faces_get_empty_answers() -> None:
    head = everything_head()
    full, empty = batch_of(head, 2), batch_of(head, 0)
    outputs = head.infer_all([empty, full, empty])
    assert [len(output.probs) for output in outputs] == [0, 2, 0]
    assert joined_bytes(outputs[1]) == joined_bytes(head.infer(full))
    assert [len(output.probs) for output in head.infer_all([empty, empty])] == [0, 0]


class PoisonedBy:
    """A head that fails, or answers NaN, for any batch with a marked row in it."""

    def __init__(self, raises: bool, only_in_company: bool = False) -> None:
        self.inner = everything_head()
        self.raises = raises
        self.only_in_company = only_in_company
        self.calls: list[int] = []

    def infer(self, batch: HeadBatch) -> HeadOutput:
        self.calls.append(len(batch))
        bad = batch.probs[:, 0] > 1.0
        if self.only_in_company and len(batch) == 1:
            bad[:] = False
        if bad.any() and self.raises:
            raise EngineError("the engine failed")
        output = self.inner.infer(batch)
        if bad.any():
            assert output.c is not None
            output.c[bad, 1] = np.nan
        return output


@pytest.mark.parametrize("raises", [True, False])
def test_a_poisonous_row_is_named_and_the_rest_is_answered(raises: bool) -> None:
    head = PoisonedBy(raises)
    batch = batch_of(head.inner, 4)
    batch.probs[2, 0] = 2.0
    first, second = infer_all(head.infer, [batch.row(0), HeadBatch(*(getattr(batch, n)[1:] for n in NAMES))])
    cause = "engine_error" if raises else "not_finite"
    assert first.causes == (None,)
    assert second.causes == (None, cause, None)
    for output, row, i in ((first, 0, 0), (second, 0, 1), (second, 2, 3)):
        assert joined_bytes(output.rows(row, row + 1)) == joined_bytes(head.inner.infer(batch.row(i)))
    assert head.calls == ([4, 1, 1, 1, 1] if raises else [4, 1])


@pytest.mark.parametrize("raises", [True, False])
def test_what_fails_only_in_company_is_answered_alone(raises: bool) -> None:
    head = PoisonedBy(raises, only_in_company=True)
    batch = batch_of(head.inner, 3)
    batch.probs[1, 0] = 2.0
    output = infer_all(head.infer, [batch])[0]
    assert output.causes == (None, None, None)
    assert joined_bytes(output.rows(1, 2)) == joined_bytes(head.inner.infer(batch.row(1)))


def test_large_numbers_that_are_finite_are_an_answer_and_infinities_of_both_signs_are_none() -> None:
    def large(batch: HeadBatch) -> HeadOutput:
        answer = np.full((len(batch), 7), 3e38, np.float32)
        answer[batch.probs[:, 0] > 1.0, :2] = [np.inf, -np.inf]
        return HeadOutput(answer)

    batch = batch_of(ArithmeticHead(HeadNeeds()), 3)
    assert infer_all(large, [batch])[0].causes in ((), (None,) * 3)
    batch.probs[1, 0] = 2.0
    assert infer_all(large, [batch])[0].causes == (None, "not_finite", None)


def test_other_errors_are_not_swallowed() -> None:
    def wrong(batch: HeadBatch) -> HeadOutput:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        infer_all(wrong, [batch_of(ArithmeticHead(HeadNeeds()), 2)])


NAMES = ("probs", "features", "stat", "block", "h", "c", "context")
