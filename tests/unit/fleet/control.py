"""Control records as a bus gives them."""

from __future__ import annotations

from pathlib import Path

from streamer.bus.protocol import Incoming, Outgoing
from streamer.config import Config, FleetSettings, TopicSettings
from streamer.fleet.admission import Admission, admission_of
from streamer.messages import Job, JobCancel, JobStatus, StreamDefinition
from streamer.wishes import records

TOPICS = TopicSettings(partitions=8)


def admission(*roots: Path, bus: str = "kafka://127.0.0.1:9092") -> Admission:
    return admission_of(Config(bus=bus, fleet=FleetSettings(roots=tuple(str(root) for root in roots))))


def appended(record: Outgoing, offset: int = 0) -> Incoming:
    return Incoming(record.topic, record.partition, offset, record.key, record.value, record.headers, 1000.0 + offset)


def definition(stream: str, source: str = "testsrc://64x64@5", offset: int = 0, **fields: object) -> Incoming:
    wish = StreamDefinition(stream=stream, source=source, **fields)  # type: ignore[arg-type]
    return appended(records.stream_definition(wish, TOPICS), offset)


def removal(stream: str, offset: int = 0) -> Incoming:
    return appended(records.stream_removal(stream, TOPICS), offset)


def make_job(name: str, **fields: object) -> Job:
    given = {"batch": "b", "stream": name, "source": "testsrc://64x64@5?duration=1"} | fields
    return Job(job=name, **given)  # type: ignore[arg-type]


def job_record(job: Job, offset: int, partition: int = 0) -> Incoming:
    return appended(records.job(job, partition, TOPICS), offset)


def status_record(status: JobStatus, offset: int = 0, partition: int = 0) -> Incoming:
    return appended(records.job_status(status, partition, TOPICS), offset)


def cancel_record(job: str, offset: int = 0, partition: int = 0) -> Incoming:
    return appended(records.job_cancel(JobCancel(job=job, requested_s=1.0), partition, TOPICS), offset)
