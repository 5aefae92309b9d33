"""What is on the topics, as lines of JSON: what `streamer tail` prints."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from streamer.bus.protocol import Bus, Incoming
from streamer.bus.topics import content_type
from streamer.client import Start, kind_of, topic_names
from streamer.errors import UndecodableRecord
from streamer.messages import CONTENT_TYPE, Job, JobStatus, RunRecord, StreamDefinition, decode
from streamer.source import redacted

_FOLLOW_POLL_S = 0.5
_END_POLL_S = 0.1


def lines(
    bus: Bus,
    name: str,
    *,
    follow: bool = False,
    start: Start = "earliest",
    stream: str | None = None,
    prefix: str = "affect",
    meta: bool = False,
) -> Iterator[str]:
    """One JSON object a record, with the record's own field names, in order per stream.

    `name` is `observations` (live and archive together; so are `windows` and `tracks`), another short name, or one
    full topic name. `stream` keeps only that stream's records. The addresses of streams and jobs are shown without
    their secrets. With `meta` each line also has `_meta`: topic, partition, offset, key and the time of the append.
    A tombstone is {"tombstone": key}; bytes that are no record appear as {"undecodable": cause} with their `_meta`,
    and reading goes on. Raises `UsageError` for a name that is no topic.
    """
    consumer = bus.consumer(topic_names(name, prefix), start=start)
    try:
        while follow or not consumer.at_end():
            for incoming in consumer.poll(_FOLLOW_POLL_S if follow else _END_POLL_S):
                if stream is None or _is_of(incoming, stream, prefix):
                    yield msgspec.json.encode(_line(incoming, prefix, meta)).decode()
    finally:
        consumer.close()


def _is_of(incoming: Incoming, stream: str, prefix: str) -> bool:
    """Whether the key is the stream's, or in a state topic that of one of its tracks (escaped stream id / track).

    A run and a job, whose keys are their own, are of each stream that they read.
    """
    kind = kind_of(incoming.topic, prefix, incoming.key)
    if kind is RunRecord or kind is Job or kind is JobStatus:
        try:
            record = decode(incoming.value or b"", kind, content_type(incoming.headers))
        except UndecodableRecord:
            return False
        if isinstance(record, Job | JobStatus):
            return record.stream == stream
        return isinstance(record, RunRecord) and any(source.stream == stream for source in record.sources)
    key = incoming.key.decode("utf-8", "surrogateescape")
    if incoming.topic.endswith(".state"):
        key = unquote(key.partition("/")[0], errors="surrogateescape")
    return key == stream


def _line(incoming: Incoming, prefix: str, meta: bool) -> dict[str, Any]:
    key = incoming.key.decode("utf-8", "backslashreplace")
    line: dict[str, Any]
    try:
        line = {"tombstone": key} if incoming.value is None else _decoded(incoming, incoming.value, prefix)
    except UndecodableRecord as error:
        line, meta = {"undecodable": str(error)}, True
    if meta:
        line["_meta"] = {
            "topic": incoming.topic,
            "partition": incoming.partition,
            "offset": incoming.offset,
            "key": key,
            "time_s": incoming.time_s,
        }
    return line


def _decoded(incoming: Incoming, value: bytes, prefix: str) -> dict[str, Any]:
    kind = kind_of(incoming.topic, prefix, incoming.key)
    form = content_type(incoming.headers)
    if kind is not None:
        record = decode(value, kind, form)
        if isinstance(record, StreamDefinition | Job | JobStatus):
            record = msgspec.structs.replace(record, source=redacted(record.source))
        fields: dict[str, Any] = msgspec.to_builtins(record)
        return fields
    try:  # snapshots and other inner records: as they are, with bytes in base 64
        tree = msgspec.json.decode(value) if form == CONTENT_TYPE["json"] else msgspec.msgpack.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"neither MessagePack nor JSON: {error}") from error
    return _printable(tree) if isinstance(tree, dict) else {"value": _printable(tree)}


def _printable(tree: Any) -> Any:
    if isinstance(tree, bytes):
        return base64.b64encode(tree).decode()
    if isinstance(tree, dict):
        return {str(key): _printable(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_printable(value) for value in tree]
    if isinstance(tree, msgspec.msgpack.Ext):
        return {"ext": tree.code, "data": base64.b64encode(tree.data).decode()}
    return tree
