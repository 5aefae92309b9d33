from __future__ import annotations

import json

import pytest

from streamer.bus.protocol import GroupSeen, Incoming, MemberSeen
from streamer.bus.topics import dead_letter, outgoing
from streamer.messages import DeadLetter
from streamer.web import fleet, jobs, overview
from streamer.web.depth import StreamPage
from streamer.web.model import FORGOTTEN_S, MAX_STREAMS, UNANSWERED_S, Wanted
from streamer.web.streams import MAX_TRACKS, SILENT_S
from tests.unit.web.feed import SETTINGS, Feed


@pytest.fixture
def feed() -> Feed:
    feed = Feed()
    feed.clock.advance(1000.0)
    feed.connect()
    return feed


def row(feed: Feed, stream: str) -> overview.Row:
    return overview.rows(feed.model)[stream]


def test_a_live_stream_is_shown_with_its_faces_and_what_they_express(feed: Feed) -> None:
    feed.define("door", sample_fps=5.0)
    feed.status("door", frame_age_s=0.1, analysed=100, dropped={"sample_rate": 7, "newer": 2})
    for _ in range(10):
        feed.clock.advance(0.1)
        feed.face("door", 1, "Happy")
        feed.face("door", 2, "Happy", probs=(0.2, 0, 0, 0, 0.8, 0, 0))
    feed.status("door", frame_age_s=0.04, analysed=110, dropped={"sample_rate": 7, "newer": 2})
    shown = row(feed, "door")
    assert (shown["state"], shown["faces"], shown["label"], shown["p"]) == ("live", 2, "Happy", 0.75)
    assert (shown["valence"], shown["arousal"], shown["fps"], shown["age_s"]) == (0.5, 0.2, 10.0, 0.0)
    assert (shown["dropped"], shown["drops"]) == (9, {"newer": 2, "sample_rate": 7})
    assert shown["source"] == "rtsp://***@camera/live"
    assert "word" not in json.dumps(shown)


def test_low_quality_gives_no_label(feed: Feed) -> None:
    feed.status("door")
    feed.face("door", 1, None)
    shown = row(feed, "door")
    assert (shown["faces"], shown["label"], shown["low"]) == (1, None, True)


def test_a_face_that_left_or_was_not_seen_lately_is_not_there(feed: Feed) -> None:
    feed.status("door")
    feed.face("door", 1)
    feed.face("door", 2)
    feed.left("door", 2)
    assert row(feed, "door")["faces"] == 1
    feed.clock.advance(3.0)
    feed.status("door")
    feed.face("door", 3)
    assert row(feed, "door")["faces"] == 1


def test_a_stream_of_which_nothing_is_heard_is_silent(feed: Feed) -> None:
    feed.define("door")
    assert (row(feed, "door")["state"], row(feed, "door")["note"]) == (
        "silent",
        "No worker has told anything of it lately.",
    )
    feed.status("door", frame_age_s=0.5)
    feed.face("door")
    assert row(feed, "door")["state"] == "live"
    feed.clock.advance(SILENT_S + 1)
    shown = row(feed, "door")
    assert (shown["state"], shown["faces"], shown["age_s"]) == ("silent", 0, 12.0)
    feed.status("door", "failed", cause="not_a_video", message="/v/door.mp4 is no video.")
    feed.clock.advance(SILENT_S + 1)
    assert (row(feed, "door")["state"], row(feed, "door")["note"]) == ("failed", "/v/door.mp4 is no video.")


def test_pausing_removing_and_rejecting_are_shown(feed: Feed) -> None:
    feed.define("door")
    feed.status("door")
    feed.define("door", paused=True)
    assert row(feed, "door")["note"] == "It is to be paused."
    feed.status("door", "paused")
    assert (row(feed, "door")["state"], row(feed, "door")["note"]) == ("paused", None)
    letter = DeadLetter(
        topic="affect.streams", partition=0, offset=1, cause="refused", message="http://u:secret@h is no.", value=b""
    )
    feed.take(dead_letter(letter, b"door", SETTINGS))
    assert row(feed, "door")["note"] == "The newest definition was rejected: http://***@h is no."
    feed.define("door")
    assert row(feed, "door")["note"] is None
    feed.remove("door")
    assert row(feed, "door")["defined"] is False


def test_what_a_former_owner_still_says_is_left_out(feed: Feed) -> None:
    feed.epoch = 7
    feed.status("door")
    feed.epoch = 3
    feed.status("door", "stalled")
    assert row(feed, "door")["state"] == "live"


def test_what_cannot_be_read_is_counted_and_harms_nothing(feed: Feed) -> None:
    bad = feed.came(outgoing(feed.observation("door"), SETTINGS))
    feed.model.take([msgspec_cut(bad)])
    feed.face("door")
    assert feed.model.passed_over == 1
    assert list(overview.rows(feed.model)) == ["door"]


def msgspec_cut(record: Incoming) -> Incoming:
    assert record.value is not None
    return Incoming(
        record.topic, record.partition, record.offset, record.key, record.value[:-9], record.headers, record.time_s
    )


def test_tracks_and_streams_are_bounded_the_longest_unseen_make_way(feed: Feed) -> None:
    for track in range(MAX_TRACKS + 5):
        feed.clock.advance(0.01)
        feed.face("door", track)
    tracks = feed.model.streams["door"].tracks
    assert [track.number for track in tracks] == list(range(5, MAX_TRACKS + 5))
    feed.define("wanted")
    for stream in range(MAX_STREAMS + 3):
        feed.clock.advance(0.01)
        feed.status(f"s{stream}")
    assert len(feed.model.streams) == MAX_STREAMS
    assert "wanted" in feed.model.streams
    assert "door" not in feed.model.streams


def test_streams_that_nobody_wants_are_forgotten(feed: Feed) -> None:
    feed.define("wanted")
    feed.status("run")
    feed.clock.advance(FORGOTTEN_S + 1)
    feed.model.tidy()
    assert list(feed.model.streams) == ["wanted"]


def test_spark_lines_tell_each_finished_step_once(feed: Feed) -> None:
    since: dict[str, int] = {}
    feed.face("door")
    assert overview.sparks(feed.model, since) == {}
    feed.clock.advance(2.0)
    feed.face("door")
    first = overview.sparks(feed.model, since)
    assert [step[1:] for step in first["door"]] == [[0.5, 0.2]]
    assert overview.sparks(feed.model, since) == {}
    feed.clock.now_s -= 500.0
    feed.face("door")
    feed.clock.advance(2.0)
    feed.face("door")
    assert overview.sparks(feed.model, since)["door"][0][0] < first["door"][0][0]


def test_a_page_of_a_stream_is_told_what_is_new(feed: Feed) -> None:
    page = StreamPage("door")
    assert page.news(feed.model) is None
    feed.status("door")
    feed.face("door", 1)
    feed.window("door", 1)
    first = page.news(feed.model)
    assert first is not None
    assert set(first) == {"head", "tracks", "points", "windows", "now_s"}
    assert first["tracks"]["set"]["0.1"]["label"] == "Happy"
    assert first["tracks"]["set"]["0.1"]["stat"]["max"][0] == 0.9
    [[_, *values]] = first["points"]["0.1"]
    assert values == [0.05, 0.05, 0.05, 0.05, 0.7, 0.05, 0.05, 0.5, 0.2, 0.0]
    [[number, began_s, ended_s, *spans]] = first["windows"]["0.1"]
    assert (number, round(ended_s - began_s, 2), len(spans)) == (0, 1.6, 27)
    assert page.news(feed.model) == {}
    feed.clock.advance(0.5)
    feed.face("door", 1, None)
    news = page.news(feed.model)
    assert news is not None
    assert news["tracks"]["set"]["0.1"]["quality"] == "low"
    assert news["tracks"]["set"]["0.1"]["causes"] == ["small face"]
    assert [point[-1] for point in news["points"]["0.1"]] == [0.0, 1.0]
    feed.left("door", 1, "out_of_frame")
    gone = page.news(feed.model)
    assert gone is not None
    assert gone["tracks"]["set"]["0.1"] == {"there": False, "left": "out of frame"}
    feed.clock.advance(100.0)
    feed.face("door", 2)
    later = page.news(feed.model)
    assert later is not None
    assert later["tracks"]["gone"] == ["0.1"]


def test_the_fleet_is_shown_by_worker_and_what_waits_with_the_reason(feed: Feed) -> None:
    for stream in ("door", "yard"):
        feed.define(stream, priority=2)
    feed.status("door", analysed=10)
    feed.clock.advance(1.0)
    feed.status("door", analysed=15)
    feed.status("yard", "waiting", message="no worker has room for it.")
    feed.job("a", worker="one")
    streams = GroupSeen((MemberSeen("one", 4, 0.0, frozenset(range(8)), 2.0, 5.0),), {})
    of_jobs = GroupSeen((MemberSeen("one", 2, 0.0, frozenset(range(64)), 1.0, 0.0),), {0: 2, 1: 1})
    feed.model.answered({"affect.streams": streams, "affect.jobs": of_jobs})
    one = fleet.workers(feed.model)["one"]
    assert (one["partitions"], one["streams"], one["live"], one["max_streams"], one["fps"]) == ("0-7", 2, 1, 4, 5.0)
    assert (one["jobs"], one["job_slots"], one["job_partitions"]) == (1, 2, 64)
    assert fleet.waiting(feed.model) == {
        "yard": {"state": "waiting", "note": "no worker has room for it.", "priority": 2}
    }
    told = fleet.summary(feed.model)
    assert (told["workers"], told["unowned"], told["lag_jobs"], told["moving"]) == (1, 0, 3, False)
    assert row(feed, "door")["worker"] == "one"
    assert feed.model.has_fleet()


def test_without_a_fleet_nothing_can_be_changed(feed: Feed) -> None:
    feed.status("door")
    assert not feed.model.has_fleet()
    feed.define("door")
    assert feed.model.has_fleet()


def test_jobs_are_shown_by_batch_the_newest_first(feed: Feed) -> None:
    now_s = feed.clock.wall_s()
    feed.job("old", "day0", state="done", media_time_s=9.0, submitted_s=now_s - 900)
    feed.job("a", media_time_s=30.0, duration_s=60.0, started_s=now_s - 10, submitted_s=now_s - 20, records=300)
    feed.job("b", state="failed", cause="missing", message="http://u:pw@h/b is\nmissing.", submitted_s=now_s - 20)
    shown = jobs.rows(feed.model)
    assert [name for name, one in sorted(shown.items(), key=lambda one: one[1]["at"])] == ["day1", "day0"]
    day1 = shown["day1"]
    assert (day1["fraction"], day1["speed"], day1["left_s"], day1["over"]) == (0.5, 3.0, 10, False)
    assert [(one["job"], one["state"], one["fraction"], one["note"]) for one in day1["jobs"]] == [
        ("a", "running", 0.5, None),
        ("b", "failed", None, "http://***@h/b is missing."),
    ]
    assert shown["day0"]["over"]


def test_it_is_told_when_the_bus_is_away_and_when_it_is_back(feed: Feed) -> None:
    waiting = Feed()
    assert waiting.model.bus() == type(waiting.model.bus())(False, False, None, 0.0)
    waiting.model.away("there is no bus at kafka://u:pw@h.")
    assert waiting.model.bus().problem == "there is no bus at kafka://***@h."
    assert waiting.model.bus().is_away
    feed.define("door")
    assert not feed.model.bus().is_away
    feed.clock.advance(UNANSWERED_S + 1)
    assert feed.model.bus().is_away
    feed.model.answered()
    assert not feed.model.bus().is_away
    feed.model.connected(Wanted())
    assert feed.model.streams["door"].definition is None
