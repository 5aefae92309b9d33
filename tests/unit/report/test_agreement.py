from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamer.report.agreement import agreement, by_frame, pair
from streamer.types import EXPRESSIONS
from tests.unit.report.made_up import series, steps

LEFT, RIGHT = (0.1, 0.2, 0.2, 0.3), (0.6, 0.2, 0.2, 0.3)
NEUTRAL, HAPPY, SAD = (EXPRESSIONS.index(name) for name in ("Neutral", "Happy", "Sad"))


def test_faces_are_paired_by_place_whatever_their_numbers() -> None:
    first = [series(20, number=1, box=LEFT, labels=HAPPY), series(20, number=2, box=RIGHT, labels=SAD)]
    second = [series(20, number=7, box=RIGHT, labels=SAD), series(20, number=9, box=LEFT, labels=HAPPY)]
    found = pair(first, second)
    assert (found.n_first, found.n_second, found.n_same) == (40, 40, 40)
    assert (found.labels[:, 0] == found.labels[:, 1]).all()
    assert agreement([found]).share == 1.0


def test_faces_elsewhere_or_at_other_times_are_not_paired() -> None:
    assert pair([series(20, box=LEFT)], [series(20, box=RIGHT)]).n_same == 0
    assert pair([series(20, box=LEFT)], [series(20, box=LEFT, start_s=0.05)]).n_same == 0
    assert pair([series(20, box=LEFT)], [series(20, box=LEFT, rate=5.0)]).n_same == 10, "every second frame"
    assert pair([], [series(3)]).n_same == 0
    assert agreement([pair([], [])]).share is None


def test_a_box_belongs_to_the_one_it_overlaps_most() -> None:
    near = (0.11, 0.2, 0.2, 0.3)
    found = pair(
        [series(5, box=LEFT, labels=HAPPY)], [series(5, box=near, labels=HAPPY), series(5, number=2, box=LEFT)]
    )
    assert found.n_same == 5
    assert (found.labels[:, 1] == NEUTRAL).all(), "the exact box won"


def test_agreement_kappa_and_counts_of_a_known_table() -> None:
    first = series(100, labels=steps((50, HAPPY), (50, SAD)))
    second = series(100, labels=steps((40, HAPPY), (10, SAD), (20, HAPPY), (30, SAD)))
    found = agreement([pair([first], [second])])
    assert found.n == 100
    assert found.counts[HAPPY, HAPPY] == 40
    assert found.counts[HAPPY, SAD] == 10
    assert found.counts[SAD, HAPPY] == 20
    assert found.counts[SAD, SAD] == 30
    assert found.share == pytest.approx(0.70)
    assert found.kappa == pytest.approx(0.40), "chance: 0.5 x 0.6 + 0.5 x 0.4"


def test_kappa_says_nothing_where_both_always_say_the_same() -> None:
    assert agreement([pair([series(10)], [series(10)])]).kappa is None


def test_differences_are_second_minus_first_and_ccc_is_lins() -> None:
    wave = np.sin(np.arange(100) / 7)
    first = series(100, valence=wave / 2, arousal=0.1)
    found = agreement([pair([first], [replace(first, valence=first.valence + np.float32(0.2))])])
    assert found.valence_mean == pytest.approx(0.2, abs=1e-6)
    assert found.valence_abs == pytest.approx(0.2, abs=1e-6)
    assert found.arousal_abs == 0.0
    variance = float(np.var(wave / 2))
    assert found.valence_ccc == pytest.approx(2 * variance / (2 * variance + 0.04), abs=1e-5)
    assert found.arousal_ccc is None


def test_unlabelled_faces_are_counted_but_not_compared() -> None:
    found = pair([series(20, labels=steps((5, -1), (15, HAPPY)))], [series(20, labels=HAPPY)])
    assert (found.n_same, len(found.t_s)) == (20, 15)


def test_by_frame_takes_the_mean_of_faces_and_any_difference() -> None:
    first = [series(3, number=1, box=LEFT), series(3, number=2, box=RIGHT)]
    second = [series(3, number=1, box=LEFT, valence=0.4), series(3, number=2, box=RIGHT, labels=[0, 1, 0])]
    t_s, moved, differs = by_frame(pair(first, second))
    assert t_s.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert moved[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.2])
    assert differs.tolist() == [0, 1, 0]
    assert by_frame(pair([], []))[0].size == 0


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    faces = [series(300, number=k, box=(0.15 * k, 0.1, 0.1, 0.2), labels=random.integers(0, 7, 300)) for k in range(6)]
    others = [replace(t, labels=random.integers(0, 7, 300).astype(np.int8)) for t in reversed(faces)]
    whole = agreement([pair(faces, others)])
    monkeypatch.setattr("streamer.report.agreement._BLOCK_ROWS", 7)
    parts = agreement([pair(faces, others)])
    assert whole.n == parts.n == 1800
    assert (whole.counts == parts.counts).all()


def test_hours_of_two_faces_are_compared() -> None:
    n = 200_000
    first = [series(n, number=k, box=(0.3 * k, 0.1, 0.2, 0.2), rate=25.0) for k in range(2)]
    assert agreement([pair(first, first)]).n == 2 * n
