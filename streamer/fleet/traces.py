"""What a stream has left on the bus, record by record. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgpack
import msgspec

from streamer.bus.protocol import Incoming, Verdict
from streamer.bus.topics import CONTENT_TYPE_HEADER, Topics, content_type, key_of
from streamer.errors import UndecodableRecord
from streamer.messages import (
    CONTENT_TYPE,
    AnyMessage,
    DeadLetter,
    Envelope,
    Format,
    Job,
    JobStatus,
    RunRecord,
    decode,
    encode,
)
from streamer.state.codec import stream_key
from streamer.wishes.records import CANCEL_SUFFIX


class Traces:
    """Judges records by whether they are of `stream` (and, where one is given, of `run` alone).

    Results, statuses and state are found by their keys. Jobs are named by their own ids: `jobs` are those of the
    stream, see `jobs_of`; of their statuses stays that they are over. A run's record loses what it says of the stream,
    and goes when nothing else is left in it. The wanted stream and its live state belong to no run: with `run` they
    are kept.
    """

    def __init__(
        self, names: Topics, stream: str, run: str | None = None, jobs: frozenset[bytes] = frozenset()
    ) -> None:
        self._stream, self._run, self._jobs = stream, run, jobs
        self._key = key_of(stream)
        own = stream_key(stream)
        self._place = own if run is None else own + b"/" + stream_key(run)
        results: Callable[[Incoming], Verdict] = self._result
        self._by_topic: dict[str, Callable[[Incoming], Verdict]] = {
            topic.name: results
            for topic in (
                names.observations,
                names.windows,
                names.tracks,
                names.archive_observations,
                names.archive_windows,
                names.archive_tracks,
                names.status,
            )
        } | {
            names.streams.name: self._wish,
            names.state.name: self._live_state,
            names.archive_state.name: self._state,
            names.jobs.name: self._job,
            names.jobs_status.name: self._job_status,
            names.runs.name: self._run_record,
            names.deadletter.name: self._letter,
        }

    def judge(self, record: Incoming) -> Verdict:
        """What is to become of a record of one of the topics."""
        return self._by_topic[record.topic](record)

    def _result(self, record: Incoming) -> Verdict:
        if record.key != self._key:
            return "keep"
        if self._run is None:
            return "forget"
        found = _read(record, Envelope)
        return "forget" if found is not None and found.run == self._run else "keep"

    def _wish(self, record: Incoming) -> Verdict:
        return "forget" if self._run is None and record.key == self._key else "keep"

    def _live_state(self, record: Incoming) -> Verdict:
        return self._state(record) if self._run is None else "keep"

    def _state(self, record: Incoming) -> Verdict:
        mine = record.key == self._place or record.key.startswith(self._place + b"/")
        return "forget" if mine else "keep"

    def _job(self, record: Incoming) -> Verdict:
        if record.key.removesuffix(CANCEL_SUFFIX) in self._jobs:
            return "forget"
        return self._unreadable(record, Job)

    def _job_status(self, record: Incoming) -> Verdict:
        """A job's record may outlast this on Kafka: without a status that says it is over it would be done again."""
        status = _read(record, JobStatus)
        if record.key not in self._jobs or status is None:
            return self._job(record)
        bare = JobStatus(job=status.job, batch=status.batch, stream="", source="", state=status.state)
        return "keep" if status == bare else encode(bare, _format(record))

    def _run_record(self, record: Incoming) -> Verdict:
        if self._run is not None and record.key != key_of(self._run):
            return "keep"
        found = _read(record, RunRecord)
        if found is None:
            return self._unreadable(record, RunRecord)
        left = tuple(source for source in found.sources if source.stream != self._stream)
        if len(left) == len(found.sources):
            return "keep"
        return encode(msgspec.structs.replace(found, sources=left), _format(record)) if left else "forget"

    def _letter(self, record: Incoming) -> Verdict:
        letter = _read(record, DeadLetter)
        if letter is None:
            return self._unreadable(record, DeadLetter)
        judged = self._by_topic.get(letter.topic)
        within = replace(record, topic=letter.topic, value=letter.value, headers=())
        if judged is not None and judged != self._letter and judged(within) != "keep":
            return "forget"
        return "forget" if self._run is None and _names(letter.value, self._stream) else "keep"

    def _unreadable(self, record: Incoming, kind: type[msgspec.Struct]) -> Verdict:
        """A record that is none of its topic's: it is the stream's when it has its name as a whole text in it."""
        if self._run is not None or record.value is None or _read(record, kind) is not None:
            return "keep"
        return "forget" if record.key == self._key or _names(record.value, self._stream) else "keep"


def jobs_of(records: Iterable[Incoming], names: Topics, stream: str, run: str | None = None) -> frozenset[bytes]:
    """The keys of the stream's jobs (in that run), among records of the topics of jobs and their statuses."""
    found = set()
    for record in records:
        said = _read(record, Job) if record.topic == names.jobs.name else _read(record, JobStatus)
        if said is not None and said.stream == stream and (run is None or said.run == run):
            found.add(key_of(said.job))
    return frozenset(found)


def _read(record: Incoming, kind: type[AnyMessage]) -> AnyMessage | None:
    if record.value is None:
        return None
    try:
        return decode(record.value, kind, content_type(record.headers))
    except UndecodableRecord:
        return None


def _format(record: Incoming) -> Format:
    return "json" if (CONTENT_TYPE_HEADER, CONTENT_TYPE["json"]) in record.headers else "msgpack"


def _names(value: bytes, stream: str) -> bool:
    """Whether `stream` is a whole text in a MessagePack or JSON value, even a damaged one."""
    packed: bytes = msgpack.packb(stream, unicode_errors="surrogateescape")
    return packed in value or json.dumps(stream, ensure_ascii=False).encode("utf-8", "surrogateescape") in value
