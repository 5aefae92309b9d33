"""The fleet's own records on their way to the bus, and those that were refused.

A job, its status and the wish to cancel it lie in partitions of the same number, so that whoever owns the job's
partition finds all that is known of the job in one place.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streamer.bus import topics as bus_topics
from streamer.bus.protocol import Headers, Incoming, Outgoing
from streamer.bus.topics import JOB_PARTITIONS, key_of, partition_of, topics
from streamer.config import TopicSettings
from streamer.messages import CONTENT_TYPE, Claim, DeadLetter, Job, JobCancel, JobStatus, StreamDefinition, encode
from streamer.state.codec import stream_key

CLAIM_SUFFIX = b"/claim"
CANCEL_SUFFIX = b"/cancel"
_STRIDE = 37
"""Odd, so that every partition has its turn; wide, so that few files spread over many owners."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A control record that cannot be followed: why, in a stable word and in a sentence without secrets.

    `job` is the job of the record where it could be read so far.
    """

    record: Incoming
    cause: str
    message: str
    job: Job | None = None


def stream_definition(definition: StreamDefinition, settings: TopicSettings) -> Outgoing:
    """The wish for a stream, under its id."""
    return _of_stream(definition.stream, definition, settings)


def stream_removal(stream: str, settings: TopicSettings) -> Outgoing:
    """The tombstone that takes the wish back."""
    return _of_stream(stream, None, settings)


def claim(stream: str, worker: str, settings: TopicSettings) -> Outgoing:
    """The claim of a live stream, beside its snapshots: the offset it gets is the epoch."""
    topic = topics(settings).state
    record = Claim(stream=stream, worker=worker)
    return Outgoing(
        topic.name,
        partition_of(stream, topic.partitions),
        stream_key(stream) + CLAIM_SUFFIX,
        encode(record, settings.format),
        _headers(settings),
    )


def job(record: Job, partition: int, settings: TopicSettings) -> Outgoing:
    """A job for `partition`; a later attempt goes to the partition of the first."""
    return Outgoing(
        topics(settings).jobs.name, partition, key_of(record.job), encode(record, settings.format), _headers(settings)
    )


def job_status(record: JobStatus, partition: int, settings: TopicSettings) -> Outgoing:
    """How far a job of `partition` is."""
    return _of_job(key_of(record.job), record, partition, settings)


def job_cancel(record: JobCancel, partition: int, settings: TopicSettings) -> Outgoing:
    """The wish that a job of `partition` be not done."""
    return _of_job(key_of(record.job) + CANCEL_SUFFIX, record, partition, settings)


def job_cancel_done(job_id: str, partition: int, settings: TopicSettings) -> Outgoing:
    """The tombstone of such a wish, written with the job's end."""
    return _of_job(key_of(job_id) + CANCEL_SUFFIX, None, partition, settings)


def dead_letter(rejected: Rejected, settings: TopicSettings) -> Outgoing:
    """The refused record with its place, its bytes and the reason."""
    record = rejected.record
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        cause=rejected.cause,
        message=rejected.message,
        value=record.value or b"",
    )
    return bus_topics.dead_letter(letter, record.key, settings)


def job_partitions(batch: str, n_jobs: int, already: int = 0) -> list[int]:
    """The partitions of a batch's jobs in turn, after `already` earlier ones; batches begin at different places."""
    first = partition_of(batch, JOB_PARTITIONS)
    return [(first + _STRIDE * k) % JOB_PARTITIONS for k in range(already, already + n_jobs)]


def _of_stream(stream: str, definition: StreamDefinition | None, settings: TopicSettings) -> Outgoing:
    topic = topics(settings).streams
    partition = partition_of(stream, topic.partitions)
    if definition is None:
        return Outgoing(topic.name, partition, key_of(stream), None)
    return Outgoing(topic.name, partition, key_of(stream), encode(definition, settings.format), _headers(settings))


def _of_job(key: bytes, record: msgspec.Struct | None, partition: int, settings: TopicSettings) -> Outgoing:
    topic = topics(settings).jobs_status
    if record is None:
        return Outgoing(topic.name, partition, key, None)
    return Outgoing(topic.name, partition, key, encode(record, settings.format), _headers(settings))


def _headers(settings: TopicSettings) -> Headers:
    return ((bus_topics.CONTENT_TYPE_HEADER, CONTENT_TYPE[settings.format]),)
