"""A stream's checkpoints: what they are taken from, and what resumes from them. Computes only; see `state_reader`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from streamer import log
from streamer.bus.protocol import Outgoing
from streamer.bus.topics import state_record
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import SnapshotRefused
from streamer.faces.standing import Standing
from streamer.faces.track import Tracker
from streamer.pipeline import Models, StreamState
from streamer.state.actor import StreamActor
from streamer.state.codec import as_body, stream_key
from streamer.state.records import StreamContext
from streamer.state.snapshot import Restored, keys_of, restore, take
from streamer.types import Counters
from streamer.worker.lane import Lane
from streamer.worker.state_reader import place_of

RESULT_SECTIONS = ("models", "detect", "track", "quality", "state", "frames", "gates")


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a checkpoint gave: nothing (`media_time_s` None), a place to go on from, or a stream that is `done`.

    `cold_reason` says why something that was there was not taken up: all of it, or some of the tracks.
    """

    media_time_s: float | None = None
    done: bool = False
    failure: str | None = None
    message: str | None = None
    cold_reason: str | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream is, as its checkpoint says it. `wall_s` is when a live stream's newest frame arrived.

    `failure` and `message` are those of a source that ended badly.
    """

    next_index: int
    media_time_s: float
    n_tracks: int
    decoded: int
    analysed: int
    faces: int
    records: int
    corrupt_packets: int
    dropped: dict[str, int]
    wall_s: float | None
    failure: str | None
    message: str | None

    @property
    def counters(self) -> Counters:
        """The counts up to here."""
        return Counters(self.decoded, self.analysed, self.faces, self.records, self.corrupt_packets, dict(self.dropped))


def options_digest(config: Config) -> bytes:
    """The settings that change results, as stable bytes: part of an archive run's name."""
    return msgspec.json.encode({name: getattr(config, name) for name in RESULT_SECTIONS}, order="sorted")


class Checkpoints:
    """Takes the checkpoints of a child's streams, and gives lanes their state back from them. Owned by its loop."""

    def __init__(self, config: Config, models: Models, clock: Clock) -> None:
        self._config = config
        self._models = models
        self._clock = clock

    def resume(self, lane: Lane, values: Mapping[bytes, bytes]) -> Resumption:
        """Give the lane its state: from `values` (see `StateReader.fetch`) where they fit this work, else a fresh one.

        A live stream goes on from whoever left the values. One that had ended begins anew, unless it is the same
        invocation that asks again.
        """
        context = StreamContext(
            stream=lane.stream,
            run=lane.run,
            session=lane.session,
            model=self._models.model_id,
            precision=self._models.precision,
            mode=lane.mode,
            epoch=lane.epoch,
            epoch_time_s=lane.epoch_time_s,
            valence_arousal_trained_on=self._models.expression.valence_arousal_trained_on,
        )
        reason = None
        if stream_key(lane.stream) in values:
            try:
                found = restore(context, self._config.state, self._models.head.needs, lane.counters, values)
                if lane.mode == "archive" or lane.restarts or not found.done:
                    return self._restored(lane, found)
            except SnapshotRefused as refused:
                reason = str(refused)
                log.info("checkpoint.refused", stream=lane.stream, reason=reason)
        elif values:
            reason = f"what is left of {lane.stream} is older than checkpoint.grace_s allows"
        actor = StreamActor(context, self._config.state, self._models.head.needs, lane.counters)
        own = stream_key(lane.stream)
        actor.tombstones = [key for key in values if key != own]
        lane.state = StreamState(Tracker(self._config.track), actor, lane.counters)
        return Resumption(cold_reason=reason)

    def take(self, lane: Lane, full: bool = False) -> list[Outgoing]:
        """What to write so that the lane can go on from here; nothing when it has no state.

        Must be written before the next `take`; where it was not, that one must be `full`. The first under a new epoch
        is full by itself.
        """
        state = lane.state
        if state is None:
            return []
        counters = lane.count()
        failure = lane.error if lane.finished else None
        position = Position(
            next_index=state.next_index,
            media_time_s=state.media_time_s,
            n_tracks=state.n_tracks,
            decoded=counters.decoded,
            analysed=counters.analysed,
            faces=counters.faces,
            records=counters.records,
            corrupt_packets=counters.corrupt_packets,
            dropped=counters.dropped,
            wall_s=self._arrived_s(state) if lane.mode == "live" else None,
            failure=failure.cause if failure else None,
            message=str(failure) if failure else None,
        )
        plain = msgspec.to_builtins(position)
        snapshot = take(state.actor, plain, state.snapshot(exact=lane.mode == "archive"), full=full, done=lane.finished)
        return [
            *(self._record(lane, key, value) for key, value in snapshot.puts.items()),
            *self._deletions(lane, snapshot.tombstones),
        ]

    def last(self, lane: Lane) -> list[Outgoing]:
        """What to write when a lane ends for good (its tracks are closed; nobody is to go on from it).

        A finished stream is remembered as done, an archive's place is kept; of a live stream that was closed nothing
        stays.
        """
        if lane.state is None or lane.mode == "archive" or lane.finished:
            return self.take(lane)
        return [*self._deletions(lane, keys_of(lane.state.actor))]

    def _deletions(self, lane: Lane, keys: Iterable[bytes]) -> Iterable[Outgoing]:
        return (self._record(lane, key, None) for key in keys)

    def _record(self, lane: Lane, key: bytes, value: bytes | None) -> Outgoing:
        own = stream_key(lane.stream)
        place = place_of(lane) + key.removeprefix(own)
        epoch = lane.epoch if value is None else None
        return state_record(self._config.topics, lane.mode, lane.stream, value, key=place, epoch=epoch)

    def _arrived_s(self, state: StreamState) -> float:
        """The wall time of the newest analysed frame, also where an owner before this one analysed it."""
        now_s = self._clock.monotonic_s()
        return self._clock.wall_s() - (now_s - (now_s if state.arrival_s is None else state.arrival_s))

    def _restored(self, lane: Lane, found: Restored) -> Resumption:
        position = _position(found)
        tracker = Tracker(self._config.track)
        tracker.restore(found.tracker)
        standing = Standing.restored(found.tracker)
        counts_on = found.done or lane.counts_on
        lane.go_on_from(position.counters, anew=not counts_on)
        lane.state = StreamState(
            tracker,
            found.actor,
            lane.counters,
            next_index=position.next_index,
            media_time_s=position.media_time_s,
            n_tracks=position.n_tracks,
            standing=standing,
        )
        if lane.mode == "archive":
            lane.skip_until_index = position.next_index
        else:
            # Media time went on while nobody watched: a paced file is joined where it would be by now, a camera's
            # new connection counts from there.
            now_s = self._clock.wall_s()
            gap_s = max(0.0, now_s - (position.wall_s or now_s))
            lane.join_at_s = position.media_time_s + gap_s
            lane.state.arrival_s = self._clock.monotonic_s() - gap_s
        reason = None
        if found.cold:
            n, of = len(found.cold), len(found.cold) + len(found.actor.tracks)
            reason = f"{n} of {of} tracks of {lane.stream} start anew: {found.cold[0][1]}"
            log.info("checkpoint.tracks_refused", stream=lane.stream, n=n, of=of, reason=found.cold[0][1])
        return Resumption(position.media_time_s, found.done, position.failure, position.message, reason)


def _position(found: Restored) -> Position:
    """Raises `SnapshotRefused` for what this program would not have written."""
    position = as_body(found.position, Position)
    times_s = (position.media_time_s, position.wall_s or 0.0)
    counts = (position.next_index, position.n_tracks, *position.dropped.values())
    if not all(map(math.isfinite, times_s)) or min(counts) < 0:
        raise SnapshotRefused("the snapshot's position holds a time or a count that is none")
    if not isinstance(found.tracker, dict):
        raise SnapshotRefused("the snapshot's tracker is none of this program")
    return position
