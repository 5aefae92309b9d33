from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.zoo import load_head
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.read import drain
from streamer.bus.topics import key_of, outgoing, topics
from streamer.clock import FakeClock
from streamer.config import Config, TopicSettings
from streamer.messages import RunRecord, RunState, SourceResult, decode
from streamer.worker import runs
from streamer.worker.runs import RunBook
from tests.unit.worker.rig import config_for


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_for(tmp_path)


def result(stream: str, state: RunState, **more: Any) -> SourceResult:
    return SourceResult(stream=stream, source=f"{stream}.mp4", state=state, mode="archive", session="s", **more)


def written(bus: Bus, config: Config) -> list[RunRecord]:
    topic = topics(config.topics).runs.name
    return [decode(message.value, RunRecord) for message in drain(bus, [topic]) if message.value is not None]


@pytest.mark.parametrize(
    ("states", "of_the_run"),
    [
        (["done", "done"], "done"),
        (["done", "failed"], "failed"),
        (["failed", "interrupted"], "interrupted"),
        (["interrupted", "running", "failed"], "running"),
    ],
)
def test_a_run_is_as_far_as_its_least_finished_source(
    config: Config, states: list[RunState], of_the_run: RunState
) -> None:
    bus = open_bus(config.bus)
    book = RunBook(config, bus, FakeClock())
    for number, state in enumerate(states):
        book.note("r", result(f"s{number}", state))
    book.close({"detect": 1.23456})
    [record] = written(bus, config)
    assert (record.state, [source.state for source in record.sources]) == (of_the_run, states)
    assert (record.finished_s is None) == (of_the_run == "running")
    assert record.stage_s == {"detect": 1.235}
    bus.close()


def test_a_later_invocation_keeps_the_sources_of_the_earlier_ones(config: Config) -> None:
    clock = FakeClock()
    bus = open_bus(config.bus)
    first = RunBook(config, bus, clock)
    first.note("r", result("a", "done", records=7))
    first.note("r", result("cut off", "running"))
    first.close({})
    clock.advance(100)
    second = RunBook(config, bus, clock)
    second.note("r", result("b", "running"))
    second.write({})
    clock.advance(5)
    second.note("r", result("b", "done"))
    second.close({})
    records = written(bus, config)
    assert [record.state for record in records] == ["running", "running", "interrupted"]
    last = {source.stream: source for source in records[-1].sources}
    assert {name: source.state for name, source in last.items()} == {"a": "done", "cut off": "interrupted", "b": "done"}
    assert last["a"].records == 7
    assert {record.started_s for record in records} == {FakeClock().wall_s()}
    bus.close()


def test_what_was_done_before_stays_as_its_record_says(config: Config) -> None:
    bus = open_bus(config.bus)
    first = RunBook(config, bus, FakeClock())
    first.note("r", result("a", "done", records=7, corrupt_packets=2))
    first.close({})
    again = RunBook(config, bus, FakeClock(1000.0))
    assert again.note_done_before("r", result("a", "done", records=7)).corrupt_packets == 2
    again.close({})
    assert again.runs == ("r",)
    assert len(written(bus, config)) == 1
    bus.close()


@pytest.mark.parametrize("before", ["running", None, "another session"])
def test_a_finish_that_nobody_wrote_down_is_written_down(config: Config, before: str | None) -> None:
    bus = open_bus(config.bus)
    first = RunBook(config, bus, FakeClock())
    if before == "another session":
        first.note("r", msgspec.structs.replace(result("a", "done"), session="old"))
    elif before is not None:
        first.note("r", result("a", "running"))
    first.close({})
    again = RunBook(config, bus, FakeClock(1000.0))
    assert again.note_done_before("r", result("a", "failed", cause="truncated")).cause == "truncated"
    again.close({})
    last = written(bus, config)[-1]
    assert (last.state, last.sources[0].state, last.sources[0].session) == ("failed", "failed", "s")
    bus.close()


def test_a_finish_within_one_invocation_replaces_what_ran(config: Config) -> None:
    """A child dies after its commit and before it could say so: its successor finds the work done."""
    bus = open_bus(config.bus)
    book = RunBook(config, bus, FakeClock())
    book.note("r", result("a", "running"))
    assert book.note_done_before("r", result("a", "done")).state == "done"
    book.close({})
    assert written(bus, config)[-1].state == "done"
    bus.close()


def test_a_record_is_written_at_most_once_a_second_and_never_forgotten(config: Config) -> None:
    clock = FakeClock()
    bus = open_bus(config.bus)
    book = RunBook(config, bus, clock)
    for number in range(50):
        book.note("r", result(f"s{number}", "done"))
        book.write({})
        clock.advance(0.1)
    assert len(written(bus, config)) == 5
    book.close({})
    assert len(written(bus, config)[-1].sources) == 50
    bus.close()


def test_runs_with_news_come_first(config: Config) -> None:
    bus = open_bus(config.bus)
    first = RunBook(config, bus, FakeClock())
    first.note("old", result("a", "done"))
    first.close({})
    book = RunBook(config, bus, FakeClock())
    book.note_done_before("old", result("a", "done"))
    book.note("new", result("b", "done"))
    book.close({})
    assert book.runs == ("new", "old")
    bus.close()


def test_a_record_that_cannot_be_read_is_begun_anew(config: Config, capfd: pytest.CaptureFixture[str]) -> None:
    bus = open_bus(config.bus)
    producer = bus.producer()
    newer = outgoing(RunRecord(run="r", v=99, state="done", started_s=0.0), config.topics)
    assert newer.key == key_of("r")
    producer.send([newer])
    book = RunBook(config, bus, FakeClock())
    book.note("r", result("a", "done"))
    book.close({})
    last = next(iter(bus.latest(newer.topic, newer.partition, [newer.key]).values()))
    assert last.value is not None
    assert decode(last.value, RunRecord).sources[0].stream == "a"
    assert "run.unreadable" in capfd.readouterr().err
    bus.close()


def test_records_in_json_are_gone_on_with_too(tmp_path: Path) -> None:
    config = msgspec.structs.replace(config_for(tmp_path), topics=TopicSettings(format="json"))
    bus = open_bus(config.bus)
    for stream in "ab":
        book = RunBook(config, bus, FakeClock())
        book.note("r", result(stream, "done"))
        book.close({})
    [last] = bus.latest(topics(config.topics).runs.name, 0, [b"r"]).values()
    assert last.value is not None
    assert [one.stream for one in decode(last.value, RunRecord, b"application/json").sources] == ["a", "b"]
    bus.close()


def test_settings_are_told_without_addresses(config: Config) -> None:
    secret = msgspec.structs.replace(config, sources=("http://me:secret@host/a.mp4",))
    bus = open_bus(config.bus)
    book = RunBook(secret, bus, FakeClock(), precision="bf16")
    book.note("r", result("a", "done"))
    book.close({})
    [record] = written(bus, config)
    assert record.settings["track.lost_after_s"] == "1.0"
    assert record.precision == "bf16"
    assert record.models["head"] == load_head(config.models.head)[0].model_id
    assert not any("secret" in value or "bus.db" in value for value in record.settings.values())
    bus.close()


def test_a_run_that_lasts_keeps_a_bounded_record_and_others_are_let_go_of(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_SOURCES", 3)
    clock = FakeClock()
    bus = open_bus(config.bus)
    book = RunBook(config, bus, clock, lasting="mine")
    book.note("mine", result("steady", "running"))
    for n in range(5):
        book.note_all({("mine", f"s{n}"): result(f"s{n}", "done"), (f"job-{n}", "file"): result("file", "done")})
        book.write({})
        clock.advance(5)
    assert book.runs == ("mine",)
    book.close({})
    newest = {record.run: record for record in written(bus, config)}
    assert [source.stream for source in newest["mine"].sources] == ["steady", "s3", "s4"]
    assert all(newest[f"job-{n}"].state == "done" for n in range(5))
    bus.close()


def test_workers_that_do_jobs_of_one_run_keep_what_the_others_wrote(config: Config) -> None:
    clock = FakeClock()
    bus = open_bus(config.bus)
    one, two = (RunBook(config, bus, clock, lasting=name) for name in ("one", "two"))

    def write(book: RunBook) -> RunRecord:
        clock.advance(5)
        book.write({})
        return written(bus, config)[-1]

    one.note("shared", result("a", "running"))
    write(one)
    two.note("shared", result("b", "running"))
    assert write(two).state == "running"
    one.note("shared", result("a", "done"))
    assert {each.stream: each.state for each in write(one).sources} == {"a": "done", "b": "running"}
    two.note("shared", result("b", "done"))
    record = write(two)
    assert (record.state, len(record.sources)) == ("done", 2)
    assert one.runs == two.runs == ()
    bus.close()
