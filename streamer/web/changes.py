"""What people change from a page: streams through the control topic, jobs by the wish that they end.

Nothing is touched here but the bus: whether a source can be had, and is allowed, is decided by the workers.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import key_of, partition_of, topics
from streamer.config import Config
from streamer.errors import UsageError
from streamer.messages import JOB_OVER, JobCancel, StreamDefinition
from streamer.source import is_stream_id, redacted
from streamer.wishes import records
from streamer.wishes.batches import KnownJob
from streamer.wishes.definitions import write
from streamer.wishes.views import read

_ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://\S.*|/.+|[0-9]{1,3})")
MAX_SOURCE_LENGTH = 4000


@dataclass(frozen=True, slots=True)
class Changes:
    """Writes wishes to the bus of `config`; each is acknowledged before its method returns. Blocks: not for an event
    loop. Raises `UsageError` for what cannot be meant, and `BusError`."""

    config: Config
    wall_s: Callable[[], float] = time.time

    def add(self, wanted: StreamDefinition) -> None:
        """Have a stream watched. Raises `UsageError` where one of that name is defined already."""
        checked(wanted)
        with self._opened() as bus:
            if self._defined(bus, wanted.stream) is not None:
                raise UsageError(f"a stream named {wanted.stream} is defined already: choose another name.")
            self._write(bus, wanted)

    def pause(self, stream: str, paused: bool) -> None:
        """Have a stream watched no more for now, or again."""
        with self._opened() as bus:
            self._write(bus, msgspec.structs.replace(self._known(bus, stream), paused=paused))

    def remove(self, stream: str) -> None:
        """Take the wish for a stream back. What it gave stays on the topics."""
        with self._opened() as bus:
            self._known(bus, stream)
            write(bus, [records.stream_removal(stream, self.config.topics)])

    def cancel(self, jobs: Sequence[KnownJob]) -> int:
        """Ask that jobs be not done, or done no further; returns how many of them were not over yet."""
        now_s = round(self.wall_s(), 6)
        going = [job for job in jobs if job.status.state not in JOB_OVER]
        wishes = [
            records.job_cancel(JobCancel(job=job.status.job, requested_s=now_s), job.partition, self.config.topics)
            for job in going
        ]
        with self._opened() as bus:
            write(bus, wishes)
        return len(going)

    def _write(self, bus: Bus, wanted: StreamDefinition) -> None:
        stamped = msgspec.structs.replace(wanted, updated_s=round(self.wall_s(), 6))
        write(bus, [records.stream_definition(stamped, self.config.topics)])

    def _known(self, bus: Bus, stream: str) -> StreamDefinition:
        found = self._defined(bus, stream)
        if found is None:
            raise UsageError(f"no stream named {stream} is defined for a fleet: somebody may have removed it.")
        return found

    def _defined(self, bus: Bus, stream: str) -> StreamDefinition | None:
        topic, key = topics(self.config.topics).streams, key_of(stream)
        newest = bus.latest(topic.name, partition_of(stream, topic.partitions), [key])
        return read(newest.get(key), StreamDefinition)

    @contextmanager
    def _opened(self) -> Iterator[Bus]:
        bus = open_bus(self.config.bus, create=False, settings=self.config.topics)
        try:
            yield bus
        finally:
            bus.close()


def checked(wanted: StreamDefinition) -> None:
    """Raises `UsageError` for a definition that no worker could follow."""
    if not is_stream_id(wanted.stream):
        raise UsageError("the name must be at most 100 letters, digits, dots, dashes and underscores.")
    source = wanted.source
    if not source or not source.isprintable() or len(source) > MAX_SOURCE_LENGTH or not _ADDRESS.fullmatch(source):
        raise UsageError(
            f"{redacted(source[:80]) or 'nothing'} is no source: write an address such as rtsp://camera/live, or the "
            "whole path of a file that the workers have."
        )
    if wanted.sample_fps is not None and not (math.isfinite(wanted.sample_fps) and wanted.sample_fps > 0):
        raise UsageError("frames per second must be more than 0, or left empty for what the workers' settings say.")
    if wanted.max_faces is not None and wanted.max_faces < 0:
        raise UsageError("faces must be 0 (all) or more, or left empty for what the workers' settings say.")
