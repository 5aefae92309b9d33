"""What may be asked of a worker: its streams are looked at; changes go to the control topic, as anybody's do.

So there is one meaning: whoever owns a stream's partition, this worker or another, takes the change up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from streamer.bus.protocol import Outgoing
from streamer.bus.topics import key_of, partition_of, topics
from streamer.config import Config
from streamer.control.checks import checked
from streamer.control.words import Busy, Change, Health, Readiness, StreamShown, Unknown, Wish, changed, defined
from streamer.errors import BusError, BusUnavailable
from streamer.fleet.streams import StreamTable, WantedStream
from streamer.messages import StreamDefinition
from streamer.metrics import Metrics
from streamer.source import Source
from streamer.wishes import records
from streamer.wishes.views import read
from streamer.worker.asking import ANSWER_WITHIN_S, Asking
from streamer.worker.desk import Desk
from streamer.worker.shown import shown
from streamer.worker.streams import StreamView


class NotWritten(BusError):
    """The bus did not take a change; nothing is tried again."""

    cause = "bus_unavailable"


@dataclass(slots=True)
class FleetControl:
    """Its public methods are for any thread. `streams` shows what this worker's partitions ask for."""

    config: Config
    asking: Asking
    metrics: Metrics
    desk: Desk
    table: StreamTable
    view_of: Callable[[str], StreamView | None]
    n_children: Callable[[], int]
    ready: Callable[[], Readiness]
    run: str

    def health(self) -> Health:
        return self.asking.ask(
            lambda: Health(role="worker", run=self.run, streams=len(self.table.all()), children=self.n_children())
        )

    def readiness(self) -> Readiness:
        return self.asking.ask(self.ready)

    def streams(self) -> list[StreamShown]:
        return self.asking.ask(
            lambda: [shown(wanted.definition, self.view_of(wanted.stream)) for wanted in self.table.all()]
        )

    def put(self, stream: str, wish: Wish) -> str:
        def write(before: StreamDefinition | None) -> tuple[str, Outgoing]:
            wanted = checked(defined(stream, wish, time.time()), self.config)
            done = "added" if before is None else "replaced"
            return done, records.stream_definition(wanted.definition, self.config.topics)

        return self._written(stream, write)

    def change(self, stream: str, change: Change) -> str:
        def write(before: StreamDefinition | None) -> tuple[str, Outgoing]:
            known = _there(stream, before)
            after = changed(known, change, time.time())
            # Where its source stays, that is for its owner to allow, who has allowed it already.
            owned = WantedStream(known, Source(stream, after.source, "http", "live"), 0)
            return "changed", records.stream_definition(
                checked(after, self.config, owned).definition, self.config.topics
            )

        return self._written(stream, write)

    def remove(self, stream: str) -> str:
        def write(before: StreamDefinition | None) -> tuple[str, Outgoing]:
            _there(stream, before)
            return "removed", records.stream_removal(stream, self.config.topics)

        return self._written(stream, write)

    def _written(self, stream: str, write: Callable[[StreamDefinition | None], tuple[str, Outgoing]]) -> str:
        """Have the desk write what `write` makes of the present definition: read, then written, in one go."""
        until_s = time.monotonic() + ANSWER_WITHIN_S

        def at_the_desk() -> str:
            if time.monotonic() > until_s:  # it has waited behind a bus that was away: nobody listens any more
                raise Busy("the bus is away: try again.")
            try:
                done, record = write(self._definition(stream))
                self.desk.append_now([record])
            except BusUnavailable as error:
                raise NotWritten(str(error)) from error
            return done

        def begin(answer: Future[str]) -> None:
            self.desk.do(at_the_desk, answer.set_result, answer.set_exception)

        return self.asking.ask_later(begin)

    def _definition(self, stream: str) -> StreamDefinition | None:
        topic, key = topics(self.config.topics).streams, key_of(stream)
        record = self.desk.bus.latest(topic.name, partition_of(stream, topic.partitions), [key]).get(key)
        return read(record, StreamDefinition)


def _there(stream: str, definition: StreamDefinition | None) -> StreamDefinition:
    if definition is None:
        raise Unknown(f"there is no stream {stream} on the bus that can be read: PUT one.")
    return definition
