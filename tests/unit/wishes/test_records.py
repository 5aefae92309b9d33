from __future__ import annotations

from collections import Counter

import msgspec

from streamer.bus.topics import JOB_PARTITIONS, content_type, partition_of
from streamer.config import TopicSettings
from streamer.messages import Claim, DeadLetter, StreamDefinition, decode
from streamer.wishes import records
from streamer.wishes.records import Rejected
from tests.unit.fleet.control import TOPICS, cancel_record, definition, job_record, make_job


def test_a_claim_lies_with_the_snapshots_of_its_stream_under_a_key_of_its_own() -> None:
    record = records.claim("a/b", "worker-1", TOPICS)
    assert (record.topic, record.partition, record.key) == ("affect.state", partition_of("a/b", 8), b"a%2Fb/claim")
    assert record.value is not None
    assert decode(record.value, Claim, content_type(record.headers)) == Claim(stream="a/b", worker="worker-1")


def test_a_removal_is_a_tombstone_where_the_definition_lies() -> None:
    wish, removal = definition("a"), records.stream_removal("a", TOPICS)
    assert (removal.topic, removal.partition, removal.key) == (wish.topic, wish.partition, wish.key)
    assert removal.value is None


def test_a_job_and_all_that_is_said_of_it_have_one_partition_number() -> None:
    job, cancel = job_record(make_job("a"), 0, 5), cancel_record("a", partition=5)
    assert (job.topic, cancel.topic) == ("affect.jobs", "affect.jobs.status")
    assert job.partition == cancel.partition == 5
    assert cancel.key == b"a/cancel"
    assert records.job_cancel_done("a", 5, TOPICS).key == cancel.key


def test_jobs_go_round_all_partitions_and_a_second_part_goes_on_where_the_first_ended() -> None:
    whole = records.job_partitions("b", 2 * JOB_PARTITIONS)
    assert set(Counter(whole).values()) == {2}
    assert records.job_partitions("b", 10) + records.job_partitions("b", 20, already=10) == whole[:30]


def test_records_are_written_in_the_format_of_the_topics() -> None:
    wish = StreamDefinition(stream="a", source="testsrc://64x64")
    record = records.stream_definition(wish, TopicSettings(partitions=8, format="json"))
    assert msgspec.json.decode(record.value or b"")["source"] == "testsrc://64x64"
    assert content_type(record.headers) == b"application/json"


def test_a_dead_letter_names_the_place_and_keeps_key_and_bytes() -> None:
    refused = definition("a", "nonsense", offset=9)
    record = records.dead_letter(Rejected(refused, "why", "In words."), TOPICS)
    assert (record.topic, record.partition, record.key) == ("affect.deadletter", 0, b"a")
    letter = decode(record.value or b"", DeadLetter)
    assert (letter.topic, letter.partition, letter.offset) == ("affect.streams", refused.partition, 9)
    assert (letter.cause, letter.message, letter.value) == ("why", "In words.", refused.value)
