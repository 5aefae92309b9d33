from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import StreamerError
from streamer.export.videos import Video, file_name, file_names, known_videos, n_frames, with_items
from tests.synthetic_run import make_run
from tests.unit.export.seen import video


def test_a_file_is_named_after_its_stream_and_where_there_are_several_after_the_run_too() -> None:
    videos = [Video("a", "one"), Video("a", "two"), Video("b", "one")]
    assert file_names(videos, ".vtt") == ["a.one.vtt", "a.two.vtt", "b.vtt"]


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ("camera-1/entrance", "camera-1%2Fentrance"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        (".", "%2E"),
        ("", "%00"),
        ("名前 2", "名前 2"),
        ("50%", "50%25"),
        ('a"b\n\x00', "a%22b%0A%00"),
    ],
)
def test_a_name_cannot_lead_out_of_the_folder(stream: str, name: str) -> None:
    assert file_name(stream) == name


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), unique=True, min_size=2, max_size=4))
def test_names_are_different_short_and_of_one_part(streams: list[str]) -> None:
    names = [file_name(stream) for stream in streams]
    assert len(set(names)) == len(streams)
    for name in names:
        assert 0 < len(name.encode()) <= 200
        assert "/" not in name
        assert name not in (".", "..")


def test_videos_are_those_of_the_run_records() -> None:
    first, second = make_run(("a", "b"), "one").run, make_run(("b", "c"), "two").run
    assert sorted(known_videos([first, second])) == [("a", "one"), ("b", "one"), ("b", "two"), ("c", "two")]
    assert sorted(known_videos([first, second], streams={"b"}, runs={"two"})) == [("b", "two")]
    assert known_videos([first, second], mode="live") == {}


def test_videos_without_records_are_told_of_too() -> None:
    videos = [Video("a", "r"), Video("b", "r"), Video("c", "r")]
    found = with_items(videos, iter([(("b", "r"), iter([1, 2]))]))
    assert [(one.stream, list(items)) for one, items in found] == [("a", []), ("b", [1, 2]), ("c", [])]


def test_the_number_of_frames_is_what_was_decoded() -> None:
    assert n_frames(video(95)) == 95
    assert n_frames(video(40, state="failed", message="cut")) == 40


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (Video("film", "job"), "no run record"),
        (video(9, mode="live"), "--mode archive"),
        (video(9, state="running"), "not come to its end"),
        (video(9, state="interrupted"), "not come to its end"),
        (video(0, state="failed", message="it is no video"), "it is no video"),
    ],
)
def test_frames_that_are_not_known_are_not_made_up(one: Video, says: str) -> None:
    with pytest.raises(StreamerError, match=says):
        n_frames(one)


def test_key_frames_alone_are_not_the_video() -> None:
    one = video(9)
    assert one.record is not None
    record = msgspec.structs.replace(one.record, settings={"frames.keyframes_only": "True"})
    with pytest.raises(StreamerError, match="key frames"):
        n_frames(Video(one.stream, one.run, record, one.result))
