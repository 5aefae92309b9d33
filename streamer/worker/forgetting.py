"""Streams that nobody wants any more: what was kept of them is deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer import log
from streamer.bus.protocol import Outgoing
from streamer.bus.topics import partition_of, state_record, topics
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.state.codec import stream_key
from streamer.worker.desk import Desk


@dataclass(slots=True)
class Forgetting:
    """Owned by the supervisor's loop. A partition is read once for all of its streams that are to be forgotten."""

    config: Config
    desk: Desk
    _streams: set[str] = field(default_factory=set)
    _under_way: bool = False

    def add(self, stream: str) -> None:
        """It was taken back, and no child has it any more."""
        self._streams.add(stream)

    def step(self, may: Callable[[str], bool]) -> None:
        """Have those forgotten that still may be: not what is wanted again, or another worker's."""
        streams = {stream for stream in self._streams if may(stream)}
        if self._under_way or not streams:
            self._streams = streams
            return
        self._streams, self._under_way = set(), True
        topic = topics(self.config.topics).state
        by_partition: dict[int, dict[bytes, str]] = {}
        for stream in streams:
            by_partition.setdefault(partition_of(stream, topic.partitions), {})[stream_key(stream)] = stream

        def forget() -> None:
            for partition, names in by_partition.items():
                found = self.desk.bus.latest(topic.name, partition)
                owners = {key: names.get(key.partition(b"/")[0]) for key in found}
                deletions = [self._deletion(stream, key) for key, stream in owners.items() if stream is not None]
                if deletions:
                    self.desk.append_now(deletions)

        self.desk.do(forget, lambda _: self._done(), self._failed)

    def _done(self) -> None:
        self._under_way = False

    def _failed(self, error: StreamerError) -> None:
        log.error("stream.not_forgotten", cause=error.cause, reason=str(error))
        self._under_way = False

    def _deletion(self, stream: str, key: bytes) -> Outgoing:
        return state_record(self.config.topics, "live", stream, None, key=key)
