"""Which frames are taken, and at which media time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streamer.types import Frame
from streamer.worker.intake import Intake
from tests.unit.worker.rig import frame


def frames(n: int, rate: float = 25.0) -> list[Frame]:
    return [replace(frame("a", k), media_time_s=k / rate) for k in range(n)]


def taken(intake: Intake, given_frames: list[Frame]) -> list[tuple[int, float]]:
    kept = [one for one in map(intake.take, given_frames) if isinstance(one, Frame)]
    return [(one.index, round(one.media_time_s, 6)) for one in kept]


def test_every_frame_as_it_is() -> None:
    assert taken(Intake(), frames(3)) == [(0, 0.0), (1, 0.04), (2, 0.08)]


def test_what_was_analysed_before_is_known() -> None:
    assert [Intake(skip_until_index=2).take(one) for one in frames(2)] == ["known", "known"]
    assert taken(Intake(skip_until_index=2), frames(4)) == [(2, 0.08), (3, 0.12)]
    assert taken(Intake(join_at_s=0.05), frames(4)) == [(2, 0.08), (3, 0.12)]


def test_a_new_connection_counts_on() -> None:
    assert taken(Intake(counts_on=True, join_at_s=7.5), frames(2)) == [(0, 7.5), (1, 7.54)]


def test_the_rate_may_change_as_it_runs() -> None:
    intake = Intake(sample_fps=5.0)
    first = taken(intake, frames(10))
    intake.sample_fps = None
    assert first == [(0, 0.0), (5, 0.2)]
    assert len(taken(intake, frames(10))) == 10


@given(
    st.lists(st.floats(0.001, 3.0), min_size=1, max_size=60),
    st.floats(0.1, 40.0),
    st.integers(0, 59),
)
def test_sampling_takes_the_first_frame_of_each_interval_whenever_it_began(
    steps_s: list[float], rate: float, begun_at: int
) -> None:
    times_s = [sum(steps_s[: k + 1]) for k in range(len(steps_s))]
    given_frames = [replace(frame("a", k), media_time_s=at_s) for k, at_s in enumerate(times_s)]
    whole = [one.index for one in map(Intake(sample_fps=rate).take, given_frames) if isinstance(one, Frame)]
    expected: dict[int, int] = {}
    for k, at_s in enumerate(times_s):
        expected.setdefault(int(at_s * rate + 1e-9), k)
    assert whole == sorted(expected.values())
    later = [one.index for one in map(Intake(sample_fps=rate).take, given_frames[begun_at:]) if isinstance(one, Frame)]
    assert set(later) - set(whole) <= {begun_at}  # only the first may lie in the middle of its interval
