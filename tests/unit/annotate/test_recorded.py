"""Which run is drawn, and which observations belong to which frame."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streamer.annotate.recorded import Recording, RunChoice, recording_of
from streamer.errors import UsageError
from streamer.messages import Observation
from streamer.sources import parse, session_of
from tests.unit.annotate.scenes import Remembered, clip, seen


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("video") / "talk.mp4", pts=range(10))


@pytest.fixture
def bus(tmp_path: Path) -> Remembered:
    return Remembered(tmp_path)


def found(bus: Remembered, video: Path, run: str | None = None, stream: str | None = None) -> Recording:
    source, opened = parse(str(video))[0], bus.open()
    try:
        return recording_of(opened, source, session_of(source), run=run, stream=stream)
    finally:
        opened.close()


def test_the_run_of_the_file_is_found_whatever_its_stream_is_called(
    bus: Remembered, video: Path, tmp_path: Path
) -> None:
    bus.run(clip(tmp_path / "other.mp4", pts=range(12)), run="r-other", stream="talk", finished_s=9000.0)
    bus.run(video, run="r-mine", stream="door")
    recording = found(bus, video)
    assert recording.choice == RunChoice("r-mine", "door", "done", 1000.0, 0)
    assert recording.n == 10


def test_of_several_the_newest_that_is_done_is_taken(bus: Remembered, video: Path) -> None:
    bus.run(video, run="r-new", finished_s=3000.0)
    bus.run(video, run="r-old", finished_s=2000.0)
    bus.run(video, run="r-newest", state="interrupted", finished_s=4000.0)
    assert found(bus, video).choice == RunChoice("r-new", "clip", "done", 3000.0, 2)
    assert found(bus, video, run="r-newest").choice == RunChoice("r-newest", "clip", "interrupted", 4000.0, 0)


def test_one_run_may_know_the_file_under_two_names(bus: Remembered, video: Path) -> None:
    bus.run(video, run="r-1", stream="left")
    bus.run(video, lambda number, t: [], run="r-2", stream="right", finished_s=2000.0)
    assert found(bus, video).choice.stream == "right"
    assert found(bus, video, stream="left").n == 10


def test_a_run_without_a_face_is_a_run(bus: Remembered, video: Path) -> None:
    bus.run(video, lambda number, t: [])
    assert found(bus, video).n == 0


def test_a_run_that_left_no_record_of_itself_is_found_by_what_it_saw(bus: Remembered, video: Path) -> None:
    bus.run(video, run="r-dead", recorded=False)
    assert found(bus, video).choice.state == "unrecorded"
    assert found(bus, video).n == 10


@pytest.mark.parametrize(
    ("run", "stream", "sentence"),
    [
        ("r-9", None, "run r-9 is not on this bus"),
        (None, "door", r"stream door is not of .*talk\.mp4: leave it out, or name clip$"),
        ("r-else", None, r"run r-else is not of .*talk\.mp4: leave it out, or name r-1$"),
    ],
)
def test_a_choice_that_does_not_fit_is_told(
    bus: Remembered, video: Path, tmp_path: Path, run: str | None, stream: str | None, sentence: str
) -> None:
    bus.run(video)
    bus.run(clip(tmp_path / "else.mp4", pts=range(5)), run="r-else", stream="else")
    with pytest.raises(UsageError, match=sentence):
        found(bus, video, run, stream)


def test_a_file_that_was_never_analysed_is_told(bus: Remembered, video: Path) -> None:
    with pytest.raises(UsageError, match=r"talk\.mp4 was never analysed on this bus: `streamer run` it first"):
        found(bus, video)


def test_a_file_that_has_changed_is_told(bus: Remembered, tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(5))
    bus.run(video)
    clip(video, pts=range(6))
    with pytest.raises(UsageError, match="has changed since it was analysed"):
        found(bus, video)


def test_a_file_that_was_only_watched_live_is_told(bus: Remembered, video: Path) -> None:
    bus.run(video, lambda number, t: [], mode="live", session="7.0")
    with pytest.raises(UsageError, match=r"was watched live only.*--mode archive"):
        found(bus, video)


def recording(*observations: Observation) -> Recording:
    return Recording(RunChoice("r", "s", "done"), observations)


def at(pts: int | None, media_time_s: float, number: int = 1) -> Observation:
    return msgspec.structs.replace(seen(number), pts=pts, media_time_s=media_time_s)


def test_a_frame_gets_the_faces_of_its_pts_and_no_other() -> None:
    known = recording(at(512, 0.04), at(512, 0.04, 2), at(1536, 0.12))
    assert {one.track.number for one in known.at(512, 0.04)} == {1, 2}
    assert known.at(1024, 0.08) == ()
    assert known.at(511, 0.04) == ()
    assert len(known.at(1536, 0.12)) == 1


def test_where_a_pts_comes_twice_media_time_tells_which_is_meant() -> None:
    known = recording(at(0, 0.0, 1), at(0, 2.0, 2))
    assert [one.track.number for one in known.at(0, 0.0)] == [1]
    assert [one.track.number for one in known.at(0, 2.0)] == [2]


def test_a_record_that_came_twice_is_drawn_once() -> None:
    assert len(recording(at(0, 0.0), at(0, 0.0)).at(0, 0.0)) == 1


def test_what_cannot_be_placed_is_left_out() -> None:
    assert recording(at(None, 0.0), msgspec.structs.replace(at(0, 0.0), box_xywh=())).n == 0


def test_the_usual_step_is_that_of_one_face() -> None:
    known = recording(*(at(k, 0.2 * k) for k in range(5)), *(at(k, 0.2 * k, 2) for k in range(5)))
    assert known.step_s == pytest.approx(0.2)
    assert recording(at(0, 0.0), at(1, 0.04, 2)).step_s == 0.0


def test_low_quality_has_no_label_whatever_the_record_says() -> None:
    low = msgspec.structs.replace(at(0, 0.0), quality="low", quality_causes=("extreme_yaw",))
    (one,) = recording(low).at(0, 0.0)
    assert one.label is None
    assert one.causes == ("extreme_yaw",)
