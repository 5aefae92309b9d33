"""Media time against the generator's truth: never back, never more than a frame away."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.decode.media_clock import EARLY_S, MAX_JUMP_S, MediaClock
from tests.unit.decode.stamps import FILE_TROUBLES, LIVE_TROUBLES, SourceModel, Stamped, Trouble

BASES = {
    "mpeg": (Fraction(1, 90000), Fraction(3600)),
    "ntsc": (Fraction(1, 90000), Fraction(3003)),
    "matroska": (Fraction(1, 1000), Fraction(1001, 30)),
    "frames": (Fraction(1, 25), Fraction(1)),
    "nano": (Fraction(1, 10**9), Fraction(40 * 10**6)),
    "odd": (Fraction(1, 2**31 - 1), Fraction(2**31 - 1, 25)),
}
SEEDS = st.integers(0, 2**32)


def follow(clock: MediaClock, frames: Iterable[Stamped], live: bool = False) -> float:
    """Place every frame and check it; the greatest distance from the truth in frames."""
    placed = [(clock.place(f.pts, f.duration_ticks, f.arrival_s if live else None), f) for f in frames]
    worst = 0.0
    for (before, _), (after, _) in pairwise(placed):
        assert after.media_time_s > before.media_time_s
        assert (after.segment, after.pts) > (before.segment, before.pts)
    for index, (moment, frame) in enumerate(placed):
        off = abs(moment.media_time_s - frame.true_s) / frame.frame_s
        assert off <= 1.001, (index, frame, moment)  # stamps are rounded to ticks
        worst = max(worst, off)
    return worst


def clock_for(base: str, restarts: bool) -> MediaClock:
    time_base, step = BASES[base]
    return MediaClock.of(time_base, 1 / (step * time_base), restarts=restarts)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("trouble", FILE_TROUBLES)
@given(seed=SEEDS, vary=st.booleans(), restarts=st.booleans())
@settings(derandomize=True, max_examples=12)
def test_each_trouble_of_a_file(trouble: Trouble, base: str, seed: int, vary: bool, restarts: bool) -> None:
    if base == "frames":
        vary = False  # a tick is a frame
    far_s = MAX_JUMP_S if restarts else 3600
    follow(clock_for(base, restarts), SourceModel(seed, *BASES[base], [trouble], vary=vary, far_s=far_s))


@given(
    seed=SEEDS,
    base=st.sampled_from(["mpeg", "ntsc", "matroska", "nano", "odd"]),
    troubles=st.lists(st.sampled_from(FILE_TROUBLES), max_size=8),
    vary=st.booleans(),
)
@settings(derandomize=True, max_examples=120)
def test_mixtures_in_a_file(seed: int, base: str, troubles: list[Trouble], vary: bool) -> None:
    model = SourceModel(seed, *BASES[base], troubles, n=60 + 40 * len(troubles), vary=vary, far_s=MAX_JUMP_S)
    follow(clock_for(base, True), model)


@given(
    seed=SEEDS,
    base=st.sampled_from(["mpeg", "ntsc", "matroska"]),
    troubles=st.lists(st.sampled_from(LIVE_TROUBLES), max_size=4),
    jitter=st.floats(0, 0.2),
)
@settings(derandomize=True, max_examples=120)
def test_mixtures_in_a_live_stream(seed: int, base: str, troubles: list[Trouble], jitter: float) -> None:
    """A count that begins anew a few seconds ahead, or after a silence, is told apart by arrivals alone."""
    n = 60 + 40 * len(troubles)
    model = SourceModel(seed, *BASES[base], troubles, n=n, far_s=2 * EARLY_S, jitter=jitter)
    follow(clock_for(base, True), model, live=True)


@given(
    seed=SEEDS,
    troubles=st.lists(st.sampled_from(FILE_TROUBLES), max_size=3),
    burst_s=st.sampled_from([0.5, 2.0, 6.0]),
)
@settings(derandomize=True, max_examples=40)
def test_frames_that_come_in_bursts_are_not_taken_for_gaps(seed: int, troubles: list[Trouble], burst_s: float) -> None:
    """As from HLS: the frames of a segment come at once, and the next after as long as it lasts."""
    model = SourceModel(
        seed, *BASES["mpeg"], troubles, n=300 + 60 * len(troubles), burst_s=burst_s, far_s=burst_s + 2 * EARLY_S
    )
    follow(clock_for("mpeg", True), model, live=True)


@given(
    seed=SEEDS,
    bits=st.sampled_from([32, 33]),
    troubles=st.lists(st.sampled_from(("gap", "repeat", "missing")), max_size=3),
)
@settings(derandomize=True, max_examples=60)
def test_counters_that_run_over(seed: int, bits: int, troubles: list[Trouble]) -> None:
    follow(clock_for("mpeg", True), SourceModel(seed, *BASES["mpeg"], troubles, bits=bits, far_s=MAX_JUMP_S))


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(240)])
@pytest.mark.parametrize(
    "time_base",
    [
        Fraction(1),
        Fraction(3),
        Fraction(1, 10),
        Fraction(1, 30),
        Fraction(1, 1000),
        Fraction(1, 10**9),
        Fraction(1, 2**31 - 1),
        Fraction(1001, 30000),
        Fraction(7, 2**31 - 1),
    ],
)
def test_time_bases_coarse_and_fine(time_base: Fraction, rate: Fraction) -> None:
    """Ticks of three seconds hold dozens of frames, and each still has its own time."""
    clock = MediaClock.of(time_base, rate)
    frames = [Stamped(int(i / rate / time_base), None, 0.0, float(i / rate), float(1 / rate)) for i in range(700)]
    assert follow(clock, frames) <= 1


@pytest.mark.parametrize("time_base", [None, Fraction(0), Fraction(-1, 25), Fraction(2**31 - 1), Fraction(10**12)])
@pytest.mark.parametrize(
    "rate", [None, Fraction(0), Fraction(-25), Fraction(2**31 - 1), Fraction(1, 2**31 - 1), Fraction(25)]
)
def test_what_is_no_time_base_counts_frames(time_base: Fraction | None, rate: Fraction | None) -> None:
    clock = MediaClock.of(time_base, rate)
    assert clock.time_base == Fraction(1, 25)
    follow(clock, [Stamped(i, None, 0.0, i / 25, 0.04) for i in range(100)])


@pytest.mark.parametrize("pts", [None, 0, 7, -(2**63) + 1, 2**63 - 1])
@pytest.mark.parametrize("time_base", [Fraction(1, 90000), Fraction(1, 25), Fraction(1)])
def test_the_same_stamp_for_ever_or_none_at_all(pts: int | None, time_base: Fraction) -> None:
    clock = MediaClock.of(time_base, Fraction(25))
    times_s = [clock.place(pts).media_time_s for _ in range(500)]
    assert all(after > before for before, after in pairwise(times_s))
    if time_base < 1 or pts is None:
        assert times_s[-1] == pytest.approx(499 / 25)


def test_a_live_source_without_stamps_goes_by_its_arrivals() -> None:
    """An MJPEG camera at 10 frames a second, whatever rate its demuxer believes in."""
    clock = MediaClock.of(Fraction(1, 25), Fraction(25), restarts=True)
    times_s = [clock.place(None, 1, 5 + i / 10).media_time_s for i in range(300)]
    assert times_s == pytest.approx([i / 10 for i in range(300)], abs=0.001)


def test_late_frames_are_late_and_not_later() -> None:
    """The network holds everything back for eight seconds: media time is what the stamps say."""
    clock = MediaClock.of(Fraction(1, 90000), Fraction(25), restarts=True)
    for i in range(600):
        arrival_s = i / 25 + (max(0.0, 16 - i / 25) if 200 <= i < 400 else 0)
        assert clock.place(3600 * i, 3600, arrival_s).media_time_s == pytest.approx(i / 25)


@given(seed=SEEDS, troubles=st.lists(st.sampled_from(LIVE_TROUBLES), max_size=4), at=st.integers(0, 120))
@settings(derandomize=True, max_examples=40)
def test_a_copy_goes_on_exactly(seed: int, troubles: list[Trouble], at: int) -> None:
    clock = clock_for("mpeg", True)
    frames = list(SourceModel(seed, *BASES["mpeg"], troubles, jitter=0.3))
    for f in frames[:at]:
        clock.place(f.pts, f.duration_ticks, f.arrival_s)
    other = copy.copy(clock)
    rest = [(f.pts, f.duration_ticks, f.arrival_s) for f in frames[at:]]
    assert [clock.place(*f) for f in rest] == [other.place(*f) for f in rest]
