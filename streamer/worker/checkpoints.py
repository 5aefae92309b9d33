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
from streamer.worker.lane import Lane

RESULT_SECTIONS = ("models", "detect", "track", "quality", "state")


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a checkpoint gave: nothing (`media_time_s` None), a place to go on from, or a stream that is `done`."""

    media_time_s: float | None = None
    done: bool = False
    failure: str | None = None
    message: str | None = None


def options_digest(config: Config) -> bytes:
    """The settings that change results, as stable bytes: part of an archive run's name."""
    return msgspec.json.encode({name: getattr(config, name) for name in RESULT_SECTIONS}, order="sorted")


class Checkpoints:
    """Takes and finds the checkpoints of a child's streams."""

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
        position = state.position()
        position["wall_s"] = self._clock.wall_s() if lane.mode == "live" else None
        position["failure"] = lane.error.cause if lane.error else None
        position["message"] = str(lane.error) if lane.error else None
        snapshot = take(state.actor, position, state.tracker.snapshot(), done=lane.finished)
        settings = self._config.topics
        return [
            *(state_record(settings, lane.mode, lane.stream, value, key=key) for key, value in snapshot.puts.items()),
            *(
                state_record(settings, lane.mode, lane.stream, None, key=key, epoch=lane.epoch)
                for key in snapshot.tombstones
            ),
        ]

    def _stored(self, lane: Lane) -> dict[bytes, bytes]:
        names = topics(self._config.topics)
        topic = names.archive_state if lane.mode == "archive" else names.state
        own = stream_key(lane.stream)
        found = self._bus.latest(topic.name, partition_of(lane.stream, topic.partitions))
        return {
            key: record.value
            for key, record in found.items()
            if record.value is not None and (key == own or key.startswith(own + b"/"))
        }

    def _restored(self, lane: Lane, context: StreamContext, values: dict[bytes, bytes]) -> Resumption:
        found = restore(context, self._config.state, self._models.head.needs, lane.counters, values)
        position = found.position
        if found.done:
            lane.counters.analysed, lane.counters.faces = position["analysed"], position["faces"]
            lane.counters.records, lane.counters.decoded = position["records"], position["next_index"]
            return Resumption(position["media_time_s"], True, position["failure"], position["message"])
        tracker = Tracker(self._config.track)
        tracker.restore(found.tracker)
        counters = lane.counters
        counters.analysed, counters.faces = position["analysed"], position["faces"]
        counters.records, counters.dropped = position["records"], dict(position["dropped"])
        media_time_s = float(position["media_time_s"])
        lane.state = StreamState(
            tracker,
            found.actor,
            counters,
            next_index=position["next_index"],
            media_time_s=media_time_s,
            n_tracks=position["n_tracks"],
        )
        if lane.mode == "archive":
            lane.skip_until_index = position["next_index"]
        else:
            # Media time went on while nobody watched: a paced file is joined where it would be by now, a camera's
            # new connection counts from there.
            gone_s = max(0.0, self._clock.wall_s() - float(position["wall_s"] or self._clock.wall_s()))
            lane.join_at_s = media_time_s + gone_s
        return Resumption(media_time_s)
