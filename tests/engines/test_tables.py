"""The paper's tables agree with the metrics that are said to be theirs, and only with those."""

import pytest

from engines.evaluation.paper_tables import BASELINE, FUSION, TABLE_2, TABLE_3, PaperRow, Submission
from engines.metrics import authors_score, challenge_score, va_score

RATED_2 = [row for row in TABLE_2 if row.f1 is not None]
RATED_3 = [one for one in TABLE_3 if one.row.f1 is not None]


def test_every_row_is_there() -> None:
    assert [row.model for row in TABLE_2] == [BASELINE, "1", "2", "3", "4", "5", "6", FUSION]
    assert len(RATED_2) == 7
    assert [one.row.model for one in TABLE_3 if one.track == 1] == [BASELINE, "2", "4", "6", FUSION]
    assert [one.row.model for one in TABLE_3 if one.track == 2] == [BASELINE, "2", "4", "2", FUSION]


@pytest.mark.parametrize("row", RATED_2, ids=lambda row: row.model)
def test_the_second_table_is_the_authors_score(row: PaperRow) -> None:
    assert row.f1 is not None
    assert row.accuracy is not None
    assert authors_score(row.f1, row.accuracy) == pytest.approx(row.expression_score, abs=0.001)


def test_the_second_table_is_not_the_challenges_score() -> None:
    beside = [abs(challenge_score(row.f1 or 0, row.accuracy or 0) - (row.expression_score or 0)) for row in RATED_2]
    assert min(beside) > 0.003


@pytest.mark.parametrize("one", RATED_3, ids=lambda one: f"{one.number}-{one.row.model}")
def test_the_third_table_is_the_challenges_score(one: Submission) -> None:
    assert one.row.f1 is not None
    assert one.row.accuracy is not None
    assert challenge_score(one.row.f1, one.row.accuracy) == pytest.approx(one.row.expression_score, abs=0.001)


@pytest.mark.parametrize(
    "row",
    [row for row in (*TABLE_2, *(one.row for one in TABLE_3)) if row.va_score is not None],
    ids=lambda row: f"{row.model}-{row.va_score}",
)
def test_valence_and_arousal_are_scored_by_their_mean(row: PaperRow) -> None:
    assert row.valence is not None
    assert row.arousal is not None
    assert va_score(row.valence, row.arousal) == pytest.approx(row.va_score, abs=0.001)
