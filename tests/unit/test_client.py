from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming, Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.client import AffectConsumer, Gap, to_arrow, to_pandas, topic_names
from streamer.config import TopicSettings
from streamer.errors import BusUnavailable, TopicMissing, UndecodableRecord, UsageError
from streamer.messages import Job, JobCancel, JobStatus, Observation, RunRecord, Status, StreamDefinition, encode
from streamer.types import Mode
from tests.golden.records import OBSERVATION, RUN, STATUS, TRACK_LEFT, WINDOW
from tests.synthetic_run import SyntheticRun, make_run

SETTINGS = TopicSettings(partitions=4)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bus.db"


@pytest.fixture
def bus(url: str) -> Iterator[Bus]:
    bus = open_bus(url)
    bus.ensure_topics(topics(SETTINGS).all())
    yield bus
    bus.close()


def observation(number: int, stream: str = "a", **changes: object) -> Observation:
    fields: dict[str, object] = {"id": f"{stream}-{number}", "seq": number, "stream": stream, **changes}
    return msgspec.structs.replace(OBSERVATION, **fields)


def write(bus: Bus, *records: Observation | Status | RunRecord, mode: Mode = "live") -> None:
    producer = bus.producer()
    producer.send([outgoing(record, SETTINGS, mode) for record in records])
    producer.close()


def ids(consumer: AffectConsumer) -> list[str]:
    return [record.id for record in consumer if isinstance(record, Observation)]


def test_it_reads_typed_records_to_the_end(bus: Bus, url: str) -> None:
    write(bus, *(observation(i) for i in range(250)))
    with AffectConsumer(url, follow=False) as consumer:
        assert [r.seq for r in consumer if isinstance(r, Observation)] == list(range(250))
        assert list(consumer) == []


def test_an_empty_bus_ends_at_once(bus: Bus, url: str) -> None:
    with AffectConsumer(url, follow=False) as consumer:
        assert list(consumer) == []


def test_live_and_archive_come_together_and_a_full_name_alone(bus: Bus, url: str) -> None:
    write(bus, observation(1), mode="archive")
    write(bus, observation(1), observation(2))
    with AffectConsumer(url, follow=False) as consumer:
        assert sorted(ids(consumer)) == ["a-1", "a-1", "a-2"]  # ids are unique within a topic, not across
    with AffectConsumer(url, topics=["affect.archive.observations"], follow=False) as consumer:
        assert ids(consumer) == ["a-1"]


def test_each_topic_has_its_type(bus: Bus, url: str) -> None:
    producer = bus.producer()
    records = (OBSERVATION, WINDOW, TRACK_LEFT, STATUS, RUN)
    producer.send([outgoing(record, SETTINGS) for record in records])
    with AffectConsumer(url, ["observations", "windows", "tracks", "status", "runs"], follow=False) as consumer:
        assert tuple(consumer) == records


def test_both_formats_are_read(bus: Bus, url: str) -> None:
    producer = bus.producer()
    producer.send([outgoing(observation(1), TopicSettings(partitions=4, format="json"))])
    producer.send([outgoing(observation(2), SETTINGS)])
    with AffectConsumer(url, follow=False) as consumer:
        assert ids(consumer) == ["a-1", "a-2"]


def test_only_the_wanted_streams(bus: Bus, url: str) -> None:
    write(bus, observation(1), observation(1, "b"), observation(2), RUN)
    with AffectConsumer(url, ["observations", "runs"], streams={"b"}, follow=False) as consumer:
        assert [record.id for record in consumer if isinstance(record, Observation)] == ["b-1"]
    with AffectConsumer(url, ["runs"], streams={"camera-1/entrance"}, follow=False) as consumer:
        assert list(consumer) == [RUN]


def test_a_repeated_record_is_dropped_within_the_last_few(bus: Bus, url: str) -> None:
    write(bus, observation(1), observation(2), observation(1), observation(3), observation(1))
    with AffectConsumer(url, follow=False) as consumer:
        assert ids(consumer) == ["a-1", "a-2", "a-3"]
        assert consumer.duplicates == 2
    with AffectConsumer(url, follow=False, remember=0) as consumer:
        assert len(ids(consumer)) == 5
    with AffectConsumer(url, follow=False, remember=1) as consumer:
        assert ids(consumer) == ["a-1", "a-2", "a-3"]  # beyond the remembered ids its number tells


def test_a_former_owners_record_stays_when_it_is_late_and_goes_when_it_is_a_zombies(bus: Bus, url: str) -> None:
    def at(number: int, epoch: int, captured_s: float | None, *, stream: str = "a") -> Observation:
        began_s = {5: 100.0, 9: 200.0}[epoch]
        return observation(number, stream, epoch=epoch, epoch_time_s=began_s, capture_time_s=captured_s)

    write(bus, at(1, 5, 110.0), at(2, 9, 205.0), at(3, 5, 199.0), at(4, 5, 201.0), at(5, 5, None), at(6, 9, 206.0))
    write(bus, at(1, 5, 300.0, stream="b"))
    with AffectConsumer(url, follow=False) as consumer:
        assert ids(consumer) == ["a-1", "a-2", "a-3", "a-6", "b-1"]
        assert consumer.superseded == 2


def claimed(epoch: int, seq: int, stream: str = "a", **changes: object) -> Observation:
    """A live record of an epoch that began at `100 * epoch` seconds, captured in it."""
    fields: dict[str, object] = {"epoch": epoch, "epoch_time_s": 100.0 * epoch, "capture_time_s": 100.0 * epoch + seq}
    fields |= {"prev_epoch": None, "prev_seq": None, "id": f"{stream}-{epoch}-{seq}", **changes}
    return observation(seq, stream, **fields)


def read(url: str, **options: Any) -> tuple[list[str], list[Gap], AffectConsumer]:
    """Ids, gaps and the consumer, after everything was read."""
    gaps: list[Gap] = []
    with AffectConsumer(url, follow=False, on_gap=gaps.append, **options) as consumer:
        return ids(consumer), gaps, consumer


def test_a_hole_is_told_once_and_its_late_record_is_kept(bus: Bus, url: str) -> None:
    write(bus, *(claimed(5, seq) for seq in (0, 1, 5, 6, 3, 3, 7)), claimed(5, 0, "b"), claimed(5, 1, "b"))
    read_ids, gaps, consumer = read(url, remember=1)
    assert read_ids == ["a-5-0", "a-5-1", "a-5-5", "a-5-6", "a-5-3", "a-5-7", "b-5-0", "b-5-1"]
    assert gaps == [Gap("affect.observations", "a", 5, 2, 4, run=OBSERVATION.run)]
    assert (consumer.gaps, consumer.crashes, consumer.duplicates) == (1, 0, 1)


def test_a_hole_at_the_beginning_of_the_next_epoch_is_told_and_the_middle_of_the_first_is_not(
    bus: Bus, url: str
) -> None:
    write(bus, claimed(5, 40), claimed(5, 41), claimed(6, 2))
    assert read(url)[1] == [Gap("affect.observations", "a", 6, 0, 1, run=OBSERVATION.run)]


def test_from_the_latest_on_nothing_is_missing(bus: Bus, url: str) -> None:
    write(bus, claimed(5, 0))
    with AffectConsumer(url, start="latest") as consumer:
        write(bus, claimed(5, 7), claimed(5, 8))
        assert [next(consumer).seq for _ in range(2)] == [7, 8]  # type: ignore[union-attr]  # observations
        assert consumer.gaps == 0


@pytest.mark.parametrize(
    ("prev_seq", "crash"),
    [
        (2, None),  # handed over after its last record
        (1, (3, None)),  # the snapshot is older than what was read: what came after that nobody knows
        (None, (3, None)),  # killed before the first snapshot
        (6, (3, 6)),  # the snapshot knew of records that never came
    ],
)
def test_a_new_epoch_says_what_the_crash_before_may_have_cost(
    bus: Bus, url: str, prev_seq: int | None, crash: tuple[int, int | None] | None
) -> None:
    write(bus, *(claimed(5, seq) for seq in range(3)), claimed(9, 0, prev_epoch=5, prev_seq=prev_seq), claimed(9, 1))
    _, gaps, consumer = read(url)
    expected = [] if crash is None else [Gap("affect.observations", "a", 5, *crash, "crash", OBSERVATION.run)]
    assert gaps == expected
    assert (consumer.gaps, consumer.crashes) == (0, len(expected))


def test_an_older_epochs_late_records_stay_in_order_and_are_no_gap(bus: Bus, url: str) -> None:
    late = [claimed(5, seq) for seq in (2, 3, 3)]
    write(bus, claimed(5, 0), claimed(5, 1), claimed(9, 0), claimed(9, 1), *late, claimed(9, 2))
    read_ids, gaps, consumer = read(url)
    assert read_ids == ["a-5-0", "a-5-1", "a-9-0", "a-9-1", "a-5-2", "a-5-3", "a-9-2"]
    assert gaps == []
    assert (consumer.duplicates, consumer.superseded) == (1, 0)


def test_the_archive_counts_by_run(bus: Bus, url: str) -> None:
    def at(run: str, seq: int) -> Observation:
        return observation(seq, run=run, epoch=0, epoch_time_s=None, id=f"{run}-{seq}")

    write(bus, at("r", 0), at("s", 0), at("r", 1), at("s", 1), at("s", 3), at("r", 0), mode="archive")
    read_ids, gaps, _ = read(url, remember=1)
    assert read_ids == ["r-0", "s-0", "r-1", "s-1", "s-3"]
    assert gaps == [Gap("affect.archive.observations", "a", 0, 2, 2, run="s")]
    assert read(url, group="g")[1] == []  # another member may read part of it


def test_status_is_compacted_so_its_holes_are_none(bus: Bus, url: str) -> None:
    def at(seq: int, **changes: object) -> Status:
        fields: dict[str, object] = {"seq": seq, "id": f"s-{seq}", **changes}
        return msgspec.structs.replace(STATUS, **fields)

    write(bus, at(1), at(9), at(9))
    write(bus, *(at(0, stream="file", epoch=0, epoch_time_s=None, id=f"f-{n}") for n in range(2)))
    with AffectConsumer(url, ["status"], follow=False, remember=1) as consumer:
        assert sorted(r.id for r in consumer if isinstance(r, Status)) == ["f-0", "f-1", "s-1", "s-9"]
        assert (consumer.gaps, consumer.duplicates) == (0, 1)


def test_streams_and_jobs_are_read_by_type_and_cancels_are_passed_over(bus: Bus, url: str) -> None:
    names = topics(SETTINGS)
    definition = StreamDefinition(stream="a", source="testsrc:")
    job = Job(job="j", batch="b", stream="a", source="clip.mp4")
    status = JobStatus(job="j", batch="b", stream="a", source="clip.mp4", state="running")
    producer = bus.producer()
    producer.send(
        [
            Outgoing(names.streams.name, 0, b"a", encode(definition)),
            Outgoing(names.jobs.name, 0, b"j", encode(job)),
            Outgoing(names.jobs_status.name, 0, b"j/cancel", encode(JobCancel(job="j"))),
            Outgoing(names.jobs_status.name, 0, b"j", encode(status)),
        ]
    )
    for streams, expected in ((None, [definition, job, status]), ({"other"}, [])):
        with AffectConsumer(url, ["streams", "jobs", "jobs.status"], streams=streams, follow=False) as consumer:
            assert list(consumer) == expected
            assert consumer.undecodable == 0


def test_what_is_no_record_is_counted_told_and_passed_over(bus: Bus, url: str) -> None:
    good = outgoing(observation(1), SETTINGS)
    garbage = Outgoing(good.topic, good.partition, good.key, b"\xc1garbage", good.headers)
    tombstone = Outgoing(good.topic, good.partition, good.key, None)
    bus.producer().send([garbage, tombstone, good])
    told: list[tuple[Incoming, UndecodableRecord]] = []
    with AffectConsumer(url, follow=False, on_undecodable=lambda *what: told.append(what)) as consumer:
        assert ids(consumer) == ["a-1"]
        assert consumer.undecodable == 1
    assert told[0][0].value == b"\xc1garbage"


def test_a_group_resumes_after_what_was_dealt_with(bus: Bus, url: str) -> None:
    write(bus, *(observation(i) for i in range(250)))
    with AffectConsumer(url, group="g", follow=False) as consumer:
        for _ in range(150):
            next(consumer)
            consumer.commit()
    with AffectConsumer(url, group="g", follow=False) as consumer:
        rest = ids(consumer)
        consumer.commit()
    assert rest[0] == "a-100"  # the fetch that was begun comes again
    assert len(rest) == 150
    with AffectConsumer(url, group="g", follow=False) as consumer:
        assert ids(consumer) == []


def test_without_a_commit_everything_comes_again(bus: Bus, url: str) -> None:
    write(bus, observation(1))
    for _ in range(2):
        with AffectConsumer(url, group="g", follow=False) as consumer:
            assert ids(consumer) == ["a-1"]


def test_following_waits_for_what_comes(bus: Bus, url: str) -> None:
    write(bus, observation(1))
    with AffectConsumer(url, start="latest") as consumer:
        assert consumer.poll(0.0) is None
        write(bus, observation(2))
        assert next(consumer).seq == 2  # type: ignore[union-attr]  # an observation
        assert consumer.poll(0.01) is None


@pytest.mark.parametrize(
    ("names", "words"),
    [(["observation"], "there is no topic"), (["state"], "cannot be read as typed"), ([], "no topic")],
)
def test_a_wrong_topic_is_wrong_use(url: str, names: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AffectConsumer(url, names)


def test_a_missing_bus_or_topic_is_said(url: str, tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match="there is no bus"):
        AffectConsumer(url)
    open_bus(url).close()
    with pytest.raises(TopicMissing, match="topics create"):
        AffectConsumer(url)


def test_names_of_another_prefix() -> None:
    assert topic_names("observations", "fleet2") == ("fleet2.observations", "fleet2.archive.observations")
    assert topic_names("fleet2.observations", "fleet2") == ("fleet2.observations",)
    assert topic_names("jobs.status", "fleet2") == ("fleet2.jobs.status",)
    with pytest.raises(UsageError, match=r"fleet2\.observations"):
        topic_names("affect.observations", "fleet2")


def recorded(bus: Bus) -> SyntheticRun:
    run = make_run(("film", "tape"), "job", 80)
    producer = bus.producer()
    for records in (run.observations, run.windows, run.tracks):
        producer.send([outgoing(record, SETTINGS, "archive") for record in records])
    producer.send([outgoing(run.run, SETTINGS)])
    producer.close()
    return run


def test_tables_hold_the_records_numbers(bus: Bus, url: str) -> None:
    run = recorded(bus)
    expected = sorted(run.observations, key=lambda o: o.stream)
    table = to_arrow(url)
    assert table.column("id").to_pylist() == [o.id for o in expected]
    assert table.column("valence").to_pylist() == [o.valence for o in expected]
    frame = to_pandas(url)
    assert list(frame.columns) == table.column_names
    assert frame["id"].tolist() == [o.id for o in expected]
    assert frame["p_happy"].tolist() == [o.probs[4] for o in expected]
    assert frame["frame"].tolist() == [o.frame for o in expected]
    assert [
        None if missing else label for label, missing in zip(frame["label"], frame["label"].isna(), strict=True)
    ] == [o.label for o in expected]
    assert (str(frame["frame"].dtype), str(frame["filled"].dtype), str(frame["valence"].dtype)) == (
        "Int64",
        "boolean",
        "float64",
    )
    assert len(to_pandas(url, "windows")) == len(run.windows)
    events = to_pandas(url, "tracks")
    assert events["n_observations"].isna().tolist() == [
        e.summary is None for e in sorted(run.tracks, key=lambda e: e.stream)
    ]


def test_tables_of_a_part_and_of_every_frame(bus: Bus, url: str) -> None:
    run = recorded(bus)
    two = to_pandas(url, streams={"film"}, track=2)
    assert two["id"].tolist() == [o.id for o in run.observations if o.stream == "film" and o.track.number == 2]
    every = to_pandas(url, fill=True)
    assert every.groupby("stream")["frame"].agg(list).tolist() == [list(range(80))] * 2
    assert every["filled"].sum() == every["id"].isna().sum() > 0
    assert every["valence"].notna().all()
    assert to_arrow(url, streams={"film"}, runs={"job"}, fill=True).num_rows == 80


def test_tables_of_nothing_and_of_what_is_not_there(bus: Bus, url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is recorded on this bus"):
        to_pandas(url)
    producer = bus.producer()
    producer.send([outgoing(make_run(("film", "tape"), "job", 80).run, SETTINGS)])
    producer.close()
    assert len(to_pandas(url)) == 0
    assert "valence" in to_pandas(url).columns
    with pytest.raises(UsageError, match="stream nobody is not on this bus"):
        to_arrow(url, streams={"nobody"})
    with pytest.raises(UsageError, match="filling is of observations"):
        to_arrow(url, "tracks", fill=True)
    with pytest.raises(BusUnavailable, match="there is no bus"):
        to_pandas(f"sqlite:///{tmp_path}/none.db")


@pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
def test_tables_without_their_packages_say_what_to_install(
    missing: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"pip install 'affect-streamer\[notebook\]'"):
        to_pandas(url)
