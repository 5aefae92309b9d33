"""The states of a source, and what its watch makes of the signs of a connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamer.config import ConnectSettings
from streamer.messages import Mode
from streamer.worker.watch import NEXT, Phase, Signs, SourceWatch

SETTINGS = ConnectSettings(open_timeout_s=10.0, no_frame_s=5.0)
READING = Signs("reading", since_s=100.0, beat_s=100.0, frame_s=100.0)


def watch(mode: Mode = "live") -> SourceWatch:
    return SourceWatch(SETTINGS, mode, "rtsp://camera/door")


def cause(signs: Signs, now_s: float, wall_s: float = 0.0, mode: Mode = "live") -> str | None:
    error = watch(mode).overdue(signs, now_s, wall_s)
    return None if error is None else error.cause


def test_a_camera_that_drops_and_comes_back_goes_through_the_states_and_counts_them() -> None:
    door = watch()
    for n, state in enumerate(("live", "stalled", "connecting", "live", "backing_off", "connecting", "ended")):
        assert door.enter(state, float(n))  # type: ignore[arg-type]
    assert (door.state, door.entered_s) == ("ended", 6.0)
    assert door.entries == {"connecting": 3, "live": 2, "stalled": 1, "backing_off": 1, "ended": 1}


def test_to_be_where_one_is_changes_nothing() -> None:
    door = watch()
    assert not door.enter("connecting", 9.0)
    assert (door.entered_s, door.entries) == (0.0, {"connecting": 1})


@pytest.mark.parametrize(
    ("before", "after"),
    [("live", "connecting"), ("stalled", "live"), ("backing_off", "live"), ("ended", "connecting"), ("failed", "live")],
)
def test_what_cannot_follow_is_a_defect(before: str, after: str) -> None:
    door = watch()
    door.state = before  # type: ignore[assignment]
    with pytest.raises(ValueError, match=f"{before} cannot become {after}"):
        door.enter(after, 0.0)  # type: ignore[arg-type]


def test_every_state_but_the_last_ones_has_a_way_out_and_back() -> None:
    assert {state for state, after in NEXT.items() if not after} == {"ended", "failed"}
    for state in ("stalled", "backing_off"):
        assert "connecting" in NEXT[state]


def test_silence_is_noticed_within_the_deadline() -> None:
    assert cause(READING, 104.4) is None
    assert cause(READING, 104.5) == "stalled"
    assert cause(replace(READING, beat_s=104.0), 108.0) is None


def test_data_without_a_picture_is_given_six_times_as_long() -> None:
    """Cameras send key frames as rarely as every ten seconds; until the first there is nothing to decode."""
    unseen = replace(READING, frame_s=None, beat_s=130.0)
    assert cause(unseen, 130.0) is None
    assert cause(unseen, 130.1) == "stalled"
    assert "no picture" in str(watch().overdue(unseen, 130.1, 0.0))
    assert cause(replace(unseen, frame_s=110.0), 130.1) is None


@pytest.mark.parametrize(("phase", "least_s"), [("opening", 12.0), ("resolving", 60.0)])
def test_what_does_not_open_is_given_up(phase: Phase, least_s: float) -> None:
    signs = replace(READING, phase=phase, frame_s=None)
    assert cause(signs, 100.0 + least_s) is None
    assert cause(signs, 100.1 + least_s) == "stalled"


@pytest.mark.parametrize("phase", ["preparing", "waiting", "offering", "over"])
def test_who_waits_for_us_is_not_blamed(phase: Phase) -> None:
    assert cause(replace(READING, phase=phase), 10_000.0) is None


def test_an_archive_has_more_time_and_no_address_to_renew() -> None:
    signs = replace(READING, expires_at_s=50.0)
    assert cause(signs, 160.0, 60.0, mode="archive") is None
    assert cause(signs, 160.1, 60.0, mode="archive") == "stalled"


@pytest.mark.parametrize(("life_s", "renewed_at_s"), [(30.0, 24.0), (21_600.0, 21_570.0)])
def test_an_address_is_renewed_before_it_expires(life_s: float, renewed_at_s: float) -> None:
    signs = replace(READING, beat_s=104.0, found_at_s=1e9, expires_at_s=1e9 + life_s)
    assert cause(signs, 104.0, 1e9 + renewed_at_s - 0.1) is None
    assert cause(signs, 104.0, 1e9 + renewed_at_s) == "expired"
