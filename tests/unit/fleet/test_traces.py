from __future__ import annotations

import dataclasses

import msgspec
import pytest

from streamer.bus.protocol import Incoming, Outgoing
from streamer.bus.topics import key_of, outgoing, topics
from streamer.config import TopicSettings
from streamer.fleet.jobs import JobBook
from streamer.fleet.traces import Traces, jobs_of
from streamer.messages import JobStatus, RunRecord, decode
from tests.golden.records import RUN
from tests.purged import GONE, OTHER_RUN, RUN_ID, STAYS, everything_of, job_of
from tests.unit.fleet.control import admission, job_record, make_job, status_record

SETTINGS = TopicSettings()
NAMES = topics(SETTINGS)


def as_read(records: list[Outgoing]) -> list[Incoming]:
    return [
        Incoming(one.topic, one.partition, offset, one.key, one.value, one.headers, 1.7e9)
        for offset, one in enumerate(records)
    ]


def traces(records: list[Incoming], stream: str = GONE, run: str | None = None) -> Traces:
    jobs = jobs_of((one for one in records if ".jobs" in one.topic), NAMES, stream, run)
    return Traces(NAMES, stream, run, jobs)


@pytest.mark.parametrize("format", ["msgpack", "json"])
def test_everything_of_a_stream_is_found_and_nothing_of_another(format: str) -> None:
    settings = TopicSettings(format=format)  # type: ignore[arg-type]  # both there are
    mine, others = as_read(everything_of(GONE, settings)), as_read(everything_of(STAYS, settings))
    judge = traces([*mine, *others]).judge
    assert {one.topic for one in mine} == {topic.name for topic in NAMES.all()}
    verdicts = [(one.topic, judge(one)) for one in mine]
    assert [topic for topic, verdict in verdicts if verdict == "keep"] == []
    replaced = [(topic, verdict) for topic, verdict in verdicts if isinstance(verdict, bytes)]
    assert {topic for topic, _ in replaced} == {NAMES.jobs_status.name}
    assert [one for one in replaced if GONE.encode() in one[1]] == []
    assert [(one.topic, one.key) for one in others if judge(one) != "keep"] == []


def test_a_run_is_forgotten_and_the_other_stays() -> None:
    records = as_read(everything_of(GONE, SETTINGS))
    judge = traces(records, run=OTHER_RUN).judge
    gone = [one for one in records if judge(one) != "keep"]
    results = ("observations", "windows", "tracks")
    assert sorted(one.topic for one in gone) == sorted(f"affect.{a}{b}" for b in results for a in ("", "archive."))
    assert all(OTHER_RUN.encode() in (one.value or b"") for one in gone)


def test_of_a_runs_archive_its_state_job_and_statuses_go_too() -> None:
    records = as_read(everything_of(GONE, SETTINGS))
    judge = traces(records, run=RUN_ID).judge
    assert [judge(one) for one in records if one.topic == NAMES.archive_state.name] == ["forget", "forget"]
    assert {judge(one) for one in records if one.topic in (NAMES.status.name, NAMES.jobs.name)} == {"forget"}
    done = [judge(one) for one in records if one.topic == NAMES.jobs_status.name]
    assert [isinstance(verdict, bytes) for verdict in done] == [True, True, False]
    kept = (NAMES.streams.name, NAMES.state.name)
    assert {judge(one) for one in records if one.topic in kept} == {"keep"}


def test_a_job_whose_record_outlasts_its_status_is_not_done_again() -> None:
    job, stream = make_job("j-1", stream="porch"), "porch"
    record = job_record(job, 0)
    done = status_record(JobStatus(job="j-1", batch="b", stream=stream, source=job.source, state="done"), 1)
    names = topics(TopicSettings())
    judge = Traces(names, stream, None, jobs_of([record, done], names, stream)).judge
    assert judge(record) == "forget"
    bare = judge(done)
    assert isinstance(bare, bytes)
    assert stream.encode() not in bare
    assert judge(dataclasses.replace(done, value=bare)) == "keep"

    def to_do(*statuses: Incoming) -> list[str]:
        book = JobBook(admission())
        for status in statuses:
            assert book.take_status(status) is None
        assert book.take(record) is None
        return [entry.job.job for entry in book.due(1e10, 9)]

    assert to_do() == ["j-1"]
    assert to_do(dataclasses.replace(done, value=bare)) == []


def test_a_runs_record_loses_the_stream_and_keeps_the_others() -> None:
    sources = tuple(msgspec.structs.replace(RUN.sources[0], stream=name) for name in (GONE, STAYS))
    [record] = as_read([outgoing(msgspec.structs.replace(RUN, sources=sources), SETTINGS)])
    judge = traces([record]).judge
    verdict = judge(record)
    assert isinstance(verdict, bytes)
    left = decode(verdict, RunRecord)
    assert [source.stream for source in left.sources] == [STAYS]
    assert msgspec.structs.replace(left, sources=()) == msgspec.structs.replace(RUN, sources=())
    assert judge(dataclasses.replace(record, value=verdict)) == "keep"


def test_a_name_that_is_an_ordinary_word_takes_nothing_of_others() -> None:
    """A stream may be called `live`, as a state is; a job of another stream holds that word, readable as it is."""
    others = as_read(everything_of(STAYS, SETTINGS))
    judge = traces(others, stream="running").judge
    assert {judge(one) for one in others} == {"keep"}


def test_what_cannot_be_read_is_the_streams_by_its_key_or_name() -> None:
    def one(topic: str, key: bytes, value: bytes | None) -> Incoming:
        return Incoming(topic, 0, 0, key, value, (), 1.7e9)

    judge = traces([]).judge
    assert judge(one(NAMES.observations.name, key_of(GONE), b"\xc1")) == "forget"
    assert judge(one(NAMES.runs.name, b"r-1", b"\xc1" + msgspec.msgpack.encode(GONE))) == "forget"
    assert judge(one(NAMES.runs.name, b"r-1", b"\xc1" + msgspec.msgpack.encode(STAYS))) == "keep"
    assert judge(one(NAMES.jobs.name, b"j-1", b'{"stream":' + msgspec.json.encode(GONE))) == "forget"
    assert judge(one(NAMES.jobs_status.name, job_of(STAYS).job.encode(), None)) == "keep"
    assert judge(one(NAMES.deadletter.name, b"x", b"no letter")) == "keep"
