"""Definitions that cannot be followed: a dead letter each, and a word where streams are listed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from streamer import log
from streamer.bus.protocol import Incoming
from streamer.config import Config
from streamer.source import is_stream_id
from streamer.wishes import records
from streamer.wishes.records import Rejected
from streamer.worker.desk import Desk
from streamer.worker.notices import Notices


@dataclass(slots=True)
class Refusals:
    """Owned by the supervisor's loop."""

    config: Config
    desk: Desk
    notices: Notices
    _refused: dict[str, int] = field(default_factory=dict)

    def add(self, rejected: Rejected, *, followed: bool) -> None:
        """This cannot be followed; with `followed` an earlier definition of its stream is."""
        log.warning("definition.rejected", cause=rejected.cause, reason=rejected.message)
        self.desk.append([records.dead_letter(rejected, self.config.topics)])
        stream = _key(rejected.record)
        if is_stream_id(stream) and not followed:
            self._refused[stream] = rejected.record.partition
            self.notices.say(stream, "failed", rejected.message, cause=rejected.cause)

    def take(self, record: Incoming) -> None:
        """A newer definition: what was said of a refused one no longer holds."""
        stream = _key(record)
        if self._refused.pop(stream, None) is not None:
            self.notices.forget(stream)

    def drop(self, partitions: Collection[int]) -> None:
        """Somebody else speaks for the streams of these partitions."""
        for stream in [name for name, partition in self._refused.items() if partition in partitions]:
            del self._refused[stream]
            self.notices.forget(stream)


def _key(record: Incoming) -> str:
    return record.key.decode("utf-8", "surrogateescape")
