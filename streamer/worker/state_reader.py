"""Reads what the bus holds of a lane's state, so that computing with it never waits for a bus.

Called on the lanes' own threads: many at once, each for its own lane.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamer import log
from streamer.bus.protocol import Bus, Incoming
from streamer.bus.topics import partition_of, topics
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import BusUnavailable
from streamer.state.codec import stream_key
from streamer.wishes.records import CLAIM_SUFFIX
from streamer.worker.lane import Lane

SHARED_S = 5.0
"""How far before its first lane's need a read begins, so that lanes claimed a little earlier can share it."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0


@dataclass(slots=True, eq=False)
class _Read:
    """A read of one partition that is under way. `found` stays None where it failed."""

    since_s: float
    over: threading.Event = field(default_factory=threading.Event)
    found: dict[bytes, Incoming] | None = None

    def good_for(self, lane: Lane, since_s: float) -> bool:
        """Whether it saw everything that lay before the lane's claim: then the claim itself is in it."""
        if self.found is None or self.since_s > since_s:
            return False
        claim = self.found.get(stream_key(lane.stream) + CLAIM_SUFFIX)
        return claim is not None and claim.offset >= lane.epoch


class StateReader:
    """Finds the values of a lane's stream. Safe to share between threads.

    A live stream's are looked for where an owner within the grace time must have left them, never from a partition's
    beginning; lanes of one partition that open together share one read.
    """

    def __init__(self, bus: Bus, config: Config, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._topics = topics(config.topics)
        settings = config.checkpoint
        self._grace_s = settings.grace_s
        # A track is written again only when it changed, so its value may be older than the stream's.
        self._reach_s = settings.grace_s + 2 * settings.live_interval_s
        self._lock = threading.Lock()
        self._reads: dict[int, _Read] = {}

    def fetch(self, lane: Lane) -> dict[bytes, bytes]:
        """The values of the lane's stream and its tracks, by the keys under which `snapshot.take` made them.

        Of a live stream without an own checkpoint in the grace time before the claim, what tracks left is all there
        is: nothing goes on from that, but it can be deleted. Waits while the bus is away, until the lane is given up.
        """
        place = place_of(lane)
        if lane.mode == "archive":
            found = self._patiently(lane, lambda: self._archive(lane))
        else:
            found = self._patiently(lane, lambda: self._live(lane))
        values = _of_place(found, place, stream_key(lane.stream))
        newest = found.get(place)
        if lane.mode == "live" and newest is not None:
            age_s = (lane.epoch_time_s or 0.0) - newest.time_s
            if age_s > self._grace_s:
                log.info("checkpoint.too_old", stream=lane.stream, age_s=round(age_s, 1))
                del values[stream_key(lane.stream)]
        return values

    def _archive(self, lane: Lane) -> dict[bytes, Incoming]:
        topic = self._topics.archive_state
        partition = partition_of(lane.stream, topic.partitions)
        if lane.job is None:
            return self._bus.latest(topic.name, partition)
        return self._bus.latest(topic.name, partition, from_offset=lane.job.status.state_from, settled=True)

    def _live(self, lane: Lane) -> dict[bytes, Incoming]:
        if lane.epoch_time_s is None:
            return {}  # not claimed: nothing says whose state it would be
        since_s = lane.epoch_time_s - self._reach_s
        topic = self._topics.state
        partition = partition_of(lane.stream, topic.partitions)
        while True:
            with self._lock:
                read = self._reads.get(partition)
                if read is None:
                    own = self._reads[partition] = _Read(since_s - SHARED_S)
                    break
            read.over.wait()
            if read.found is not None and read.good_for(lane, since_s):
                return read.found
        try:
            own.found = self._bus.latest(topic.name, partition, since_s=own.since_s)
            return own.found
        finally:
            with self._lock:
                del self._reads[partition]
            own.over.set()

    def _patiently(self, lane: Lane, read: Callable[[], dict[bytes, Incoming]]) -> dict[bytes, Incoming]:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return read()
            except BusUnavailable as error:
                if lane.closing:
                    return {}
                log.warning("checkpoint.bus_away", stream=lane.stream, reason=str(error))
            self._clock.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)


def place_of(lane: Lane) -> bytes:
    """The key under which the lane's own checkpoint lies; what belongs to it follows behind a slash.

    An archive's carries its run, so that runs of one file with other models do not forget each other: each stays
    finished, or goes on where it was.
    """
    own = stream_key(lane.stream)
    return own + b"/" + stream_key(lane.run) if lane.mode == "archive" else own


def _of_place(found: Mapping[bytes, Incoming], place: bytes, own: bytes) -> dict[bytes, bytes]:
    claim = own + CLAIM_SUFFIX
    return {
        own + key.removeprefix(place): record.value
        for key, record in found.items()
        if record.value is not None and (key == place or key.startswith(place + b"/")) and key != claim
    }
