"""A stream's checkpoints: where they lie on the bus, what they are taken from, and what resumes from them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streamer import log
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import partition_of, state_record, topics
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import SnapshotRefused
from streamer.faces.track import Tracker
from streamer.pipeline import Models, StreamState
from streamer.state.actor import StreamActor
from streamer.state.codec import stream_key
from streamer.state.records import StreamContext
from streamer.state.snapshot import restore, take
from streamer.types import Counters
from streamer.worker.lane import Lane

RESULT_SECTIONS = ("models", "detect", "track", "quality", "state")


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a checkpoint gave: nothing (`media_time_s` None), a place to go on from, or a stream that is `done`."""

    media_time_s: float | None = None
    done: bool = False
    failure: str | None = None
    message: str | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream is, as its checkpoint says it. `wall_s` is when that was, for a live stream.

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
    """Takes and finds the checkpoints of a child's streams.

    On the bus an archive's keys carry its run behind the stream, so that runs of one file with other models do not
    forget each other: each stays finished, or goes on where it was.
    """

    def __init__(self, bus: Bus, config: Config, models: Models, clock: Clock) -> None:
        self._bus = bus
        self._config = config
        self._models = models
        self._clock = clock

    def resume(self, lane: Lane) -> Resumption:
        """Give the lane its state: from its checkpoint when there is one of this very work, else a fresh one."""
        context = StreamContext(
            stream=lane.stream,
            run=lane.run,
            session=lane.session,
            model=self._models.model_id,
            precision=self._models.precision,
            mode=lane.mode,
            epoch=lane.epoch,
            valence_arousal_trained_on=self._models.expression.valence_arousal_trained_on,
        )
        values = self._stored(lane)
        # A live stream is taken up again only from a child of the same invocation: an older one's faces are gone.
        if values and (lane.mode == "archive" or lane.restarts):
            try:
                return self._restored(lane, context, values)
            except SnapshotRefused as refused:
                log.info("checkpoint.refused", stream=lane.stream, reason=str(refused))
        actor = StreamActor(context, self._config.state, self._models.head.needs, lane.counters)
        own = stream_key(lane.stream)
        actor.tombstones = [key for key in values if key != own]
        lane.state = StreamState(Tracker(self._config.track), actor, lane.counters)
        return Resumption()

    def take(self, lane: Lane) -> list[Outgoing]:
        """What to write so that the lane can go on from here; nothing when it has no state."""
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
            wall_s=self._clock.wall_s() if lane.mode == "live" else None,
            failure=failure.cause if failure else None,
            message=str(failure) if failure else None,
        )
        plain = msgspec.to_builtins(position)
        snapshot = take(state.actor, plain, state.tracker.snapshot(), done=lane.finished)
        # What another run left under a key that is in use again is replaced, not removed.
        gone = [key for key in snapshot.tombstones if key not in snapshot.puts]
        return [
            *(self._record(lane, key, value) for key, value in snapshot.puts.items()),
            *(self._record(lane, key, None) for key in gone),
        ]

    def _record(self, lane: Lane, key: bytes, value: bytes | None) -> Outgoing:
        own = stream_key(lane.stream)
        place = _place(lane) + key.removeprefix(own)
        epoch = lane.epoch if value is None else None
        return state_record(self._config.topics, lane.mode, lane.stream, value, key=place, epoch=epoch)

    def _stored(self, lane: Lane) -> dict[bytes, bytes]:
        names = topics(self._config.topics)
        topic = names.archive_state if lane.mode == "archive" else names.state
        place, own = _place(lane), stream_key(lane.stream)
        found = self._bus.latest(topic.name, partition_of(lane.stream, topic.partitions))
        return {
            own + key.removeprefix(place): record.value
            for key, record in found.items()
            if record.value is not None and (key == place or key.startswith(place + b"/"))
        }

    def _restored(self, lane: Lane, context: StreamContext, values: dict[bytes, bytes]) -> Resumption:
        found = restore(context, self._config.state, self._models.head.needs, lane.counters, values)
        try:
            position = msgspec.convert(found.position, Position)
        except msgspec.ValidationError as error:
            raise SnapshotRefused(f"the snapshot's position is none of this program: {error}") from error
        tracker = Tracker(self._config.track)
        tracker.restore(found.tracker)
        lane.go_on_from(position.counters, anew=not found.done and lane.source.kind != "webcam")
        lane.state = StreamState(
            tracker,
            found.actor,
            lane.counters,
            next_index=position.next_index,
            media_time_s=position.media_time_s,
            n_tracks=position.n_tracks,
        )
        if lane.mode == "archive":
            lane.skip_until_index = position.next_index
        else:
            # Media time went on while nobody watched: a paced file is joined where it would be by now, a camera's
            # new connection counts from there.
            now_s = self._clock.wall_s()
            lane.join_at_s = position.media_time_s + max(0.0, now_s - (position.wall_s or now_s))
        return Resumption(position.media_time_s, found.done, position.failure, position.message)


def _place(lane: Lane) -> bytes:
    """The key under which the lane's own checkpoint lies; what belongs to it follows behind a slash."""
    own = stream_key(lane.stream)
    return own + b"/" + stream_key(lane.run) if lane.mode == "archive" else own
