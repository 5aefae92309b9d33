from __future__ import annotations

from collections.abc import Callable, Iterator

from engines.shipping.speed import Speed, time_in_pairs


def timed(ours_s: list[float], theirs_s: list[float]) -> Speed:
    """As if the calls took these times, one a call, the three of warming up first."""
    now = 0.0

    def taking(seconds: Iterator[float]) -> Callable[[], None]:
        def call() -> None:
            nonlocal now
            now += next(seconds)

        return call

    warm = [100.0] * 3
    return time_in_pairs(
        taking(iter(warm + ours_s)),
        taking(iter(warm + theirs_s)),
        n_pictures=8,
        n_repeats=len(ours_s),
        names=("int8", "bf16"),
        clock=lambda: now,
    )


def test_the_ratio_is_the_median_over_pairs_and_warming_up_does_not_count() -> None:
    found = timed([1, 2, 4, 1, 1], [2, 4, 8, 2, 50])  # the machine was busy twice, once for one of the two
    assert found.ratio == 2.0
    assert found.ours_pictures_per_s == 8.0
    assert found.against_pictures_per_s == 2.0
    assert (found.ours, found.against, found.n_repeats) == ("int8", "bf16", 5)


def test_slower_is_below_one_and_words_say_both() -> None:
    found = timed([4.0], [1.0])
    assert found.ratio == 0.25
    assert "int8 runs at 0.25 times the speed of bf16 (2 and 8 pictures/s" in found.as_text()
    assert found.plain()["ratio"] == 0.25
