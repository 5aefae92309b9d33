from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.errors import BusUnavailable, StreamerError, UsageError
from streamer.export import FORMATS, Format, export_from_bus
from streamer.export.formats import TableFormat
from streamer.messages import Observation, RunRecord
from streamer.types import EXPRESSIONS
from tests import abaw
from tests.synthetic_run import SyntheticRun, make_run
from tests.unit.export.test_export import read_back

SETTINGS = TopicSettings(partitions=8)
EVERY: list[Format] = [one.name for one in FORMATS.values()]
TABLES: list[Format] = [one.name for one in FORMATS.values() if isinstance(one, TableFormat)]
OF_FRAMES: list[Format] = [name for name in EVERY if name.startswith("abaw")]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = open_bus(f"sqlite:///{tmp_path}/affect.db")
    bus.ensure_topics(topics(SETTINGS).all())
    yield bus
    bus.close()


def send(bus: Bus, records: list[Outgoing]) -> None:
    producer = bus.producer(transactional_id="t")
    producer.commit(records)
    producer.close()


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_live_and_archive_are_read_together_or_apart(bus: Bus, tmp_path: Path) -> None:
    live, archived = make_run(("cam", "door"), "live", 40), make_run(("film", "tape"), "job", 60)
    send(bus, [outgoing(o, SETTINGS, "live") for o in live.observations])
    send(bus, [outgoing(o, SETTINGS, "archive") for o in archived.observations])
    send(bus, [outgoing(live.run, SETTINGS), outgoing(archived.run, SETTINGS)])
    out = tmp_path / "out.jsonl"
    n_live, n_archived = len(live.observations), len(archived.observations)
    assert export_from_bus(bus, "jsonl", out).rows == n_live + n_archived
    assert [row["stream"] for row in rows(out)] == sorted(
        o.stream for o in (*live.observations, *archived.observations)
    )
    assert export_from_bus(bus, "jsonl", out, homes=("archive",)).rows == n_archived
    assert export_from_bus(bus, "jsonl", out, runs={"live"}).rows == n_live
    assert export_from_bus(bus, "jsonl", out, streams={"door", "tape"}, runs={"job"}).rows > 0
    assert {(row["run"], row["stream"]) for row in rows(out)} == {("job", "tape")}
    assert export_from_bus(bus, "jsonl", out, streams={"door"}, runs={"job"}).rows == 0


def test_windows_and_tracks_come_out_too(bus: Bus, tmp_path: Path) -> None:
    run = make_run(n_frames=60)
    send(bus, [outgoing(r, SETTINGS, "archive") for r in run.windows])
    send(bus, [outgoing(r, SETTINGS, "archive") for r in run.tracks])
    assert export_from_bus(bus, "csv", tmp_path / "w.csv", kind="windows").rows == len(run.windows)
    assert export_from_bus(bus, "csv", tmp_path / "t.csv", kind="tracks").rows == len(run.tracks)


def test_retries_foreign_bytes_and_a_deposed_owner_are_left_out_and_counted(bus: Bus, tmp_path: Path) -> None:
    def at(o: Observation, epoch: int, capture_time_s: float, name: str) -> Observation:
        return msgspec.structs.replace(
            o, epoch=epoch, epoch_time_s=1000.0 + epoch, capture_time_s=capture_time_s, id=name, stream="cam"
        )

    one = make_run(n_frames=2).observations[0]
    records = [
        at(one, 1, 1001.5, "first owner"),
        at(one, 1, 1001.5, "first owner"),
        at(one, 9, 1009.5, "new owner"),
        at(one, 1, 1008.0, "late from the spool"),
        at(one, 1, 1010.0, "written by one who lost the stream"),
    ]
    sent = [outgoing(record, SETTINGS) for record in records]
    broken = Outgoing(sent[0].topic, sent[0].partition, sent[0].key, b"\xc1", sent[0].headers)
    send(bus, [*sent, broken])
    done = export_from_bus(bus, "jsonl", tmp_path / "out.jsonl")
    assert [row["id"] for row in rows(tmp_path / "out.jsonl")] == ["first owner", "new owner", "late from the spool"]
    assert done.skipped == {"duplicate": 1, "stale_epoch": 1, "undecodable": 1}


def publish(bus: Bus, run: SyntheticRun, record: RunRecord | None = None) -> None:
    send(bus, [outgoing(o, SETTINGS, "archive") for o in run.observations])
    send(bus, [outgoing(record or run.run, SETTINGS)])


def of_state(run: SyntheticRun, **changes: object) -> RunRecord:
    """The run record with the first source changed."""
    first, *others = run.run.sources
    return msgspec.structs.replace(run.run, sources=(msgspec.structs.replace(first, **changes), *others))


@pytest.mark.parametrize("format", EVERY)
def test_what_is_not_on_the_bus_is_one_sentence(bus: Bus, tmp_path: Path, format: Format) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no run is recorded on this bus"):
        export_from_bus(bus, format, out)
    publish(bus, make_run(("film", "tape"), "job", 60))
    with pytest.raises(UsageError, match=r"^stream nobody is not on this bus; `streamer tail status` shows"):
        export_from_bus(bus, format, out, streams={"film", "nobody"})
    with pytest.raises(UsageError, match=r"^run never, no is not on this bus; `streamer tail runs` shows"):
        export_from_bus(bus, format, out, runs={"no", "never"})
    with pytest.raises(UsageError, match="no face has the number 77"):
        export_from_bus(bus, format, out, track=77)
    assert not out.exists()


@pytest.mark.parametrize("format", EVERY)
def test_a_run_without_faces_is_an_export_of_nothing(bus: Bus, tmp_path: Path, format: Format) -> None:
    send(bus, [outgoing(make_run(("film", "tape"), "job", 60).run, SETTINGS)])
    done = export_from_bus(bus, format, tmp_path / "out", streams={"film"})
    assert done.rows == (60 if format in OF_FRAMES else 0)
    assert [Path(name).exists() for name in done.files] == [True]
    expected = ("film has no face: each of its frames is filled in as Neutral",) if format in OF_FRAMES else ()
    assert done.notes == expected


@pytest.mark.parametrize("format", EVERY)
def test_a_broken_bus_is_one_sentence_and_leaves_nothing(bus: Bus, tmp_path: Path, format: Format) -> None:
    run = make_run(("film", "tape"), "job", 400)
    publish(bus, run)
    bus.close()
    whole = (tmp_path / "affect.db").read_bytes()
    assert len(whole) > 200_000
    for cut in (0, 100, 5_000, len(whole) // 3, len(whole) // 2, len(whole) - 9_000):
        database = tmp_path / f"cut-{cut}.db"
        database.write_bytes(whole[:cut])
        with pytest.raises(BusUnavailable) as raised:
            _export_and_close(f"sqlite:///{database}", format, tmp_path / "out")
        assert "\n" not in str(raised.value)
        assert f"cut-{cut}.db" in str(raised.value)
    assert not (tmp_path / "out").exists()


def _export_and_close(url: str, format: Format, out: Path) -> int:
    opened = open_bus(url, create=False)
    try:
        return export_from_bus(opened, format, out).rows
    finally:
        opened.close()


@pytest.mark.parametrize("format", EVERY)
def test_of_a_log_without_its_end_what_was_committed_is_there(bus: Bus, tmp_path: Path, format: Format) -> None:
    """As a machine leaves it that loses its power: the database, and a part of the log beside it."""
    publish(bus, make_run(("film", "tape"), "job", 60))
    known = export_from_bus(bus, format, tmp_path / "whole").rows
    send(bus, [outgoing(o, SETTINGS, "archive") for o in make_run(("late", "later"), "job", 60).observations])
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / "affect.db").read_bytes())
    log = (tmp_path / "affect.db-wal").read_bytes()
    (tmp_path / "copy.db-wal").write_bytes(log[:-3_000])
    assert _export_and_close(f"sqlite:///{copy}", format, tmp_path / "out") == known


def test_a_bus_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match="there is no bus at"):
        _export_and_close(f"sqlite:///{tmp_path}/none.db", "webvtt", tmp_path / "out")


@pytest.mark.parametrize("format", TABLES)
def test_filled_tables_have_a_row_for_every_frame(bus: Bus, tmp_path: Path, format: Format) -> None:
    run = make_run(("film", "tape"), "job", 200)
    publish(bus, run)
    out = tmp_path / "out"
    assert export_from_bus(bus, format, out, fill=True).rows == 400
    found = read_back(out, format, "observations")
    plain = tmp_path / "plain"
    export_from_bus(bus, format, plain)
    seen = {row["id"]: row for row in read_back(plain, format, "observations")}
    assert {row["filled"] for row in seen.values()} == {False}
    texts = {challenge: tmp_path / challenge for challenge in ("abaw-expression", "abaw-va")}
    for challenge, folder in texts.items():
        export_from_bus(bus, challenge, folder)  # type: ignore[arg-type]  # both are formats
    for stream in ("film", "tape"):
        own = [row for row in found if row["stream"] == stream]
        assert [row["frame"] for row in own] == list(range(200))
        for row in own:
            if not row["filled"]:
                assert row == seen[row["id"]]
            else:
                known = {name for name, value in row.items() if value is not None}
                assert known == {"stream", "run", "label", "valence", "arousal", "frame", "filled"}
        classes = abaw.expressions(texts["abaw-expression"] / f"{stream}.txt", 200)
        assert [EXPRESSIONS[code] for code in classes] == [row["label"] for row in own]
        ratings = abaw.ratings(texts["abaw-va"] / f"{stream}.txt", 200)
        assert ratings == [(row["valence"], row["arousal"]) for row in own]
    n_filled = sum(row["filled"] for row in found)
    assert 0 < n_filled < 200


def test_a_face_can_be_chosen(bus: Bus, tmp_path: Path) -> None:
    run = make_run(("film", "tape"), "job", 100)
    publish(bus, run)
    second = [o for o in run.observations if o.stream == "film" and o.track.number == 2]
    send(bus, [outgoing(w, SETTINGS, "archive") for w in run.windows])
    done = export_from_bus(bus, "jsonl", tmp_path / "two.jsonl", track=2)
    assert [row["id"] for row in rows(tmp_path / "two.jsonl")] == [o.id for o in second]
    assert done.rows == len(second)
    export_from_bus(bus, "jsonl", tmp_path / "windows.jsonl", kind="windows", track=2)
    assert {row["track"] for row in rows(tmp_path / "windows.jsonl")} == {2}
    export_from_bus(bus, "abaw-va", tmp_path / "two.txt", streams={"film"}, track=2)
    told = abaw.ratings(tmp_path / "two.txt", 100)
    both = export_from_bus(bus, "abaw-va", tmp_path / "both", track=2)
    assert both.notes == ("tape has no face of the number 2: each of its frames is filled in as Neutral",)
    assert {o.frame: told[o.frame or 0] for o in second} == {o.frame: (o.valence, o.arousal) for o in second}


@pytest.mark.parametrize("format", OF_FRAMES)
def test_of_a_file_that_is_not_done_no_frames_are_told(bus: Bus, tmp_path: Path, format: Format) -> None:
    run = make_run(("film", "tape"), "job", 60)
    publish(bus, run, of_state(run, state="interrupted"))
    with pytest.raises(StreamerError, match="run job of film has not come to its end"):
        export_from_bus(bus, format, tmp_path / "out", streams={"film"})
    done = export_from_bus(bus, format, tmp_path / "out")
    assert (done.rows, len(done.files)) == (60, 1)
    assert done.notes == (
        "run job of film has not come to its end: wait for it, or give the file to `streamer run` again",
    )
    assert done.skipped == {"not_whole": sum(o.stream == "film" for o in run.observations)}


def test_of_a_file_that_breaks_off_its_frames_are_told_and_that(bus: Bus, tmp_path: Path) -> None:
    run = make_run(("film", "tape"), "job", 60)
    publish(bus, run, of_state(run, state="failed", message="film ends in the middle of a frame."))
    done = export_from_bus(bus, "abaw-va", tmp_path / "out")
    assert done.rows == 120
    assert done.notes == ("film broke off after 60 frames: film ends in the middle of a frame.",)


def test_live_streams_have_no_frames_to_tell_of(bus: Bus, tmp_path: Path) -> None:
    run = make_run(("cam", "door"), "live", 60)
    send(bus, [outgoing(o, SETTINGS, "live") for o in run.observations])
    live = tuple(msgspec.structs.replace(source, mode="live") for source in run.run.sources)
    send(bus, [outgoing(msgspec.structs.replace(run.run, sources=live), SETTINGS)])
    with pytest.raises(StreamerError, match="no file among these was read in archive mode"):
        export_from_bus(bus, "abaw-va", tmp_path / "out")
    assert export_from_bus(bus, "webvtt", tmp_path / "out").rows > 0


@pytest.mark.parametrize(
    ("format", "options", "says"),
    [
        ("webvtt", {"kind": "windows"}, "webvtt is of observations: leave windows out"),
        ("csv", {"kind": "tracks", "fill": True}, "filling is of observations: leave tracks out"),
        ("elan", {"fill": True}, "filling is for csv, jsonl and parquet"),
        ("csv", {"hold_s": 1.0}, "--hold is for webvtt and elan"),
        ("abaw-va", {"hold_s": 1.0}, "--hold is for webvtt and elan"),
    ],
)
def test_what_does_not_go_together_is_refused(
    bus: Bus, tmp_path: Path, format: Format, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        export_from_bus(bus, format, tmp_path / "out", **options)
