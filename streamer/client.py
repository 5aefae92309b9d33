"""Reading affect records from other programs.

with AffectConsumer("sqlite:///affect.db", topics=("observations",), follow=False) as consumer:
    for observation in consumer:
        print(observation.stream, observation.media_time_s, observation.label)

In notebooks, `to_pandas("sqlite:///affect.db")` is all there is as one table.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from streamer.bus.continuity import Continuity, Gap
from streamer.bus.open import open_bus
from streamer.bus.protocol import Incoming
from streamer.bus.read import Owners
from streamer.bus.topics import content_type, topics
from streamer.config import TopicSettings
from streamer.errors import UndecodableRecord, UsageError
from streamer.messages import (
    DeadLetter,
    Envelope,
    Job,
    JobCancel,
    JobStatus,
    Observation,
    RunRecord,
    Status,
    StreamDefinition,
    TrackEvent,
    Window,
    decode,
)

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from streamer.export.columns import Kind

__all__ = ["AffectConsumer", "AnyRecord", "Gap", "kind_of", "to_arrow", "to_pandas", "topic_names"]

AnyRecord = Observation | Window | TrackEvent | Status | StreamDefinition | Job | JobStatus | RunRecord | DeadLetter
Start = Literal["earliest", "latest"]
OnUndecodable = Callable[[Incoming, UndecodableRecord], None]
OnGap = Callable[[Gap], None]

_KINDS: dict[str, type[msgspec.Struct]] = {
    "observations": Observation,
    "windows": Window,
    "tracks": TrackEvent,
    "archive.observations": Observation,
    "archive.windows": Window,
    "archive.tracks": TrackEvent,
    "status": Status,
    "streams": StreamDefinition,
    "jobs": Job,
    "jobs.status": JobStatus,
    "runs": RunRecord,
    "deadletter": DeadLetter,
}
_BOTH = ("observations", "windows", "tracks")
_CANCEL = b"/cancel"
_FETCH_RECORDS = 100
_FOLLOW_POLL_S = 0.5
_END_POLL_S = 0.1


def topic_names(name: str, prefix: str) -> tuple[str, ...]:
    """The topics meant by `name`: `observations`, `windows` and `tracks` are the live and the archive topic together,
    any other short name and every full name is that topic alone. Raises `UsageError` for what is no topic."""
    existing = [topic.name for topic in topics(TopicSettings(prefix=prefix)).all()]
    if name in _BOTH:
        return (f"{prefix}.{name}", f"{prefix}.archive.{name}")
    for full in (name, f"{prefix}.{name}"):
        if full in existing:
            return (full,)
    short = ", ".join(full.removeprefix(f"{prefix}.") for full in existing)
    raise UsageError(f"there is no topic {name!r}: name one of {short}, or the full name of one ({existing[0]})")


def kind_of(topic: str, prefix: str, key: bytes = b"") -> type[msgspec.Struct] | None:
    """What the records of a topic are (under `key`), or None where they are not read through this module."""
    kind = _KINDS.get(topic.removeprefix(f"{prefix}."))
    return JobCancel if kind is JobStatus and key.endswith(_CANCEL) else kind


def to_arrow(
    bus_url: str,
    kind: Kind = "observations",
    *,
    streams: Collection[str] | None = None,
    runs: Collection[str] | None = None,
    track: int | None = None,
    fill: bool = False,
    prefix: str = "affect",
) -> pyarrow.Table:
    """What the bus holds now of `kind`, with the columns and in the order of an export, as an Arrow table.

    Live and archive records together; `streams`, `runs` and `track` choose among them. `fill`: one row for each frame
    of files that were read in archive mode, the rows nobody was seen in `filled`. The table is in memory: some 600
    bytes a row. Raises `UsageError` without pyarrow, for a wrong address and for a stream, run or track that is not
    there; `BusUnavailable` when the bus cannot be reached.
    """
    _needed("to_arrow", "pyarrow")
    from streamer.export.export import arrow_from_bus  # kept out of the start-up time of who only follows

    bus = open_bus(bus_url, create=False)
    try:
        return arrow_from_bus(bus, kind, prefix=prefix, streams=streams, runs=runs, track=track, fill=fill)
    finally:
        bus.close()


def to_pandas(
    bus_url: str,
    kind: Kind = "observations",
    *,
    streams: Collection[str] | None = None,
    runs: Collection[str] | None = None,
    track: int | None = None,
    fill: bool = False,
    prefix: str = "affect",
) -> pandas.DataFrame:
    """As `to_arrow`, as a `pandas.DataFrame`. Whole numbers and truths are of pandas' nullable types."""
    pd, pa = _needed("to_pandas", "pandas", "pyarrow")
    table = to_arrow(bus_url, kind, streams=streams, runs=runs, track=track, fill=fill, prefix=prefix)
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pandas.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def _needed(what: str, *packages: str) -> list[Any]:
    try:
        return [import_module(package) for package in packages]
    except ImportError as error:
        names = " and ".join(packages)
        raise UsageError(f"{what} needs {names}: pip install 'affect-streamer[notebook]'") from error


class AffectConsumer:
    """An iterator of typed records: `Observation`, `Window`, `TrackEvent`, `Status` and so on, by their topic.

    Records of one stream and topic come in order. `group` remembers how far its members have read: call `commit()`
    after a record was dealt with; without a group reading starts at `start` each time. `streams` keeps only those
    streams. With `follow` false the iteration ends where the topics end, else it waits for more.

    Delivery is at least once, so a record may come again. Such a repetition is recognised by its `seq` within the
    epoch (in the archive: the run) and by its id within the last `remember` records, and dropped (`duplicates` counts
    them; `remember=0` lets all through). A record that a stream's former owner wrote after its successor took over is
    dropped too (`superseded`); one that it saw before and that only came late stays.

    What is missing is told to `on_gap` while records are fetched, before the record behind the gap is returned, and
    counted: `gaps` are holes in the numbers, `crashes` are changes of a stream's owner that may have cost records.
    Starting in the middle is no gap. In compacted topics (`status`) and, for the members of a group, in archive topics
    gaps are not looked for. What is no record of ours is counted in `undecodable`, given to `on_undecodable`, and
    passed over; wishes to cancel a job, which lie among the jobs' status, are passed over too.

    Raises `UsageError` for a wrong name or address, `BusUnavailable` when the bus cannot be reached.
    """

    def __init__(
        self,
        bus_url: str,
        topics: Sequence[str] = ("observations",),
        *,
        group: str | None = None,
        streams: Collection[str] | None = None,
        start: Start = "earliest",
        prefix: str = "affect",
        follow: bool = True,
        remember: int = 100_000,
        on_undecodable: OnUndecodable | None = None,
        on_gap: OnGap | None = None,
    ) -> None:
        names = list(dict.fromkeys(full for name in topics for full in topic_names(name, prefix)))
        self._kinds = {name: kind for name in names if (kind := kind_of(name, prefix)) is not None}
        if len(self._kinds) < len(names) or not names:
            unread = ", ".join(name for name in names if name not in self._kinds) or "no topic"
            raise UsageError(f"{unread} cannot be read as typed records: name some of {', '.join(_KINDS)}")
        self._streams = None if streams is None else frozenset(streams)
        self._follow = follow
        self._remember = remember
        self._seen = _Recent(remember)
        self._owners = Owners()
        compacted = frozenset(name for name in names if _is_compacted(name, prefix))
        self._continuity = Continuity(compacted, shared=group is not None)
        self._on_gap = on_gap
        self._on_undecodable = on_undecodable
        self._waiting: deque[AnyRecord] = deque()
        self.undecodable = 0
        self.duplicates = 0
        self.superseded = 0
        self.gaps = 0
        self.crashes = 0
        self._bus = open_bus(bus_url, create=False)
        try:
            self._consumer = self._bus.consumer(names, group=group, start=start)
        except BaseException:
            self._bus.close()
            raise

    def __iter__(self) -> Iterator[AnyRecord]:
        return self

    def __next__(self) -> AnyRecord:
        while not self._waiting:
            if not self._follow and self._consumer.at_end():
                raise StopIteration
            self._fetch(_FOLLOW_POLL_S if self._follow else _END_POLL_S)
        return self._waiting.popleft()

    def poll(self, timeout_s: float) -> AnyRecord | None:
        """The next record, or None when none came within `timeout_s`."""
        if not self._waiting:
            self._fetch(timeout_s)
        return self._waiting.popleft() if self._waiting else None

    def commit(self) -> None:
        """Remember, for the group, that what was returned is dealt with.

        Positions lie between fetches of at most 100 records: inside one this does nothing, after its last record
        it commits. Whoever reads on after a crash so gets up to 99 records again, and misses none.
        """
        if not self._waiting:
            self._consumer.commit()

    def close(self) -> None:
        """Free the connection; the position is not committed."""
        self._bus.close()

    def __enter__(self) -> AffectConsumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, timeout_s: float) -> None:
        for incoming in self._consumer.poll(timeout_s, _FETCH_RECORDS):
            record = self._read(incoming)
            if record is not None:
                self._waiting.append(record)

    def _read(self, incoming: Incoming) -> AnyRecord | None:
        self._continuity.passed(incoming)
        kind = self._kinds[incoming.topic]
        if incoming.value is None or (kind is JobStatus and incoming.key.endswith(_CANCEL)):
            return None
        try:
            record = decode(incoming.value, kind, content_type(incoming.headers))
        except UndecodableRecord as error:
            self.undecodable += 1
            if self._on_undecodable is not None:
                self._on_undecodable(incoming, error)
            return None
        if not self._is_wanted(record):
            return None
        if isinstance(record, Envelope) and not self._is_news(incoming, record):
            return None
        return cast(AnyRecord, record)

    def _is_news(self, incoming: Incoming, record: Envelope) -> bool:
        """Whether the record has not come before and its writer still owned the stream; tells of gaps before it."""
        repeated = self._remember > 0 and self._continuity.is_repeated(incoming, record)
        if self._seen.has((incoming.topic, record.id)) or repeated:
            self.duplicates += 1
            return False
        if self._owners.has_left((incoming.topic, record.stream), record):
            self.superseded += 1
            return False
        for gap in self._continuity.take(incoming, record):
            if gap.kind == "hole":
                self.gaps += 1
            else:
                self.crashes += 1
            if self._on_gap is not None:
                self._on_gap(gap)
        return True

    def _is_wanted(self, record: msgspec.Struct) -> bool:
        if self._streams is None:
            return True
        if isinstance(record, Envelope | StreamDefinition | Job | JobStatus):
            return record.stream in self._streams
        if isinstance(record, RunRecord):
            return any(source.stream in self._streams for source in record.sources)
        return True


def _is_compacted(name: str, prefix: str) -> bool:
    return any(
        name == topic.name and "compact" in topic.cleanup for topic in topics(TopicSettings(prefix=prefix)).all()
    )


class _Recent:
    """The last few ids, to know a repetition by."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()

    def has(self, name: tuple[str, str]) -> bool:
        """Whether `name` was asked for before; it is remembered from now on."""
        if name in self._ids:
            return True
        if self._limit > 0:
            self._ids[name] = None
            if len(self._ids) > self._limit:
                self._ids.popitem(last=False)
        return False
