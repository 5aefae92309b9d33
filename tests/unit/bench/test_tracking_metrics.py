from __future__ import annotations

import numpy as np
import pytest

from streamer.bench.tracking_metrics import Seen, Tally, tally

A, B = (0.0, 0.0, 10.0, 10.0), (100.0, 0.0, 110.0, 10.0)
HALF_OFF = (6.0, 0.0, 16.0, 10.0)  # overlaps A by a quarter


def seen(**where: tuple[float, float, float, float]) -> Seen:
    """Numbers from keywords such as n1=A."""
    return (
        np.array([int(name[1:]) for name in where], np.int64),
        np.array(list(where.values()), np.float64).reshape(-1, 4),
    )


def test_perfect() -> None:
    result = tally([seen(n1=A, n2=B)] * 4, [seen(n7=B, n9=A)] * 4)
    assert result == Tally(truth=8, reported=8, matched=8, agreed=8)
    assert (result.idf1, result.recall, result.precision) == (1, 1, 1)


def test_faces_that_trade_tracks() -> None:
    """Two faces, 4 frames; their tracks are swapped after 3: two switches, two swaps, 6 of 8 frames agree."""
    truth = [seen(n1=A, n2=B)] * 4
    reported = [seen(n1=A, n2=B)] * 3 + [seen(n2=A, n1=B)]
    assert tally(truth, reported) == Tally(truth=8, reported=8, matched=8, agreed=6, switches=2, swaps=2)


def test_a_track_that_breaks_off_and_another_that_goes_on() -> None:
    """One face, 5 frames: track 1 twice, nothing once, track 2 twice. One switch, one fragment, no swap."""
    result = tally([seen(n1=A)] * 5, [seen(n1=A), seen(n1=A), seen(), seen(n2=A), seen(n2=A)])
    assert result == Tally(truth=5, reported=4, matched=4, agreed=2, switches=1, fragmentations=1)
    assert result.idf1 == pytest.approx(2 * 2 / 9)
    assert result.recall == pytest.approx(0.8)


def test_a_face_that_hides_is_no_fragment() -> None:
    """While it is not asked for it cannot be missed."""
    result = tally([seen(n1=A), seen(), seen(n1=A)], [seen(n1=A), seen(), seen(n1=A)])
    assert result == Tally(truth=2, reported=2, matched=2, agreed=2)


def test_what_was_not_there_costs_precision() -> None:
    result = tally([seen(n1=A)] * 2, [seen(n1=A, n2=B)] * 2)
    assert result == Tally(truth=2, reported=4, matched=2, agreed=2)
    assert result.precision == 0.5
    assert result.idf1 == pytest.approx(4 / 6)


def test_too_little_overlap_is_no_match() -> None:
    assert tally([seen(n1=A)], [seen(n1=HALF_OFF)]) == Tally(truth=1, reported=1)


def test_a_pair_that_still_overlaps_stays_a_pair() -> None:
    """In the second frame another track fits better, but the old one still fits."""
    shifted = (2.0, 0.0, 12.0, 10.0)
    result = tally([seen(n1=A)] * 2, [seen(n1=A), seen(n1=shifted, n2=A)])
    assert result.switches == 0


def test_one_track_over_two_faces_counts_for_one_of_them() -> None:
    """Track 1 covers face 1 for 3 frames, then face 2 for 2: it agrees with face 1 only."""
    result = tally([seen(n1=A)] * 3 + [seen(n2=A)] * 2, [seen(n1=A)] * 5)
    assert result == Tally(truth=5, reported=5, matched=5, agreed=3, switches=0, swaps=1)


def test_nothing_at_all() -> None:
    empty = tally([seen()], [seen()])
    assert (empty.idf1, empty.recall, empty.precision) == (1, 1, 1)


def test_tallies_add_up() -> None:
    assert Tally(1, 2, 3, 4, 5, 6, 7) + Tally(1, 1, 1, 1, 1, 1, 1) == Tally(2, 3, 4, 5, 6, 7, 8)
