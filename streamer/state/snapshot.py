"""Snapshots of a stream's actor: taken between frames, and taken up again where they were left.

A stream's checkpoint names its living tracks; each track has a value of its own, written only when it changed. In
archive mode one transaction makes the set whole and work resumes bit for bit. In live mode every value stands alone:
a track whose value is missing, refused or of another owner than the stream's starts cold, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from engines.spec import N_PROBS
from streamer.config import StateSettings
from streamer.errors import SnapshotRefused
from streamer.messages import Track
from streamer.state.actor import StreamActor
from streamer.state.codec import as_body, peek, seal, stream_key, track_key, unseal
from streamer.state.head_batch import HeadNeeds
from streamer.state.records import Moment, Previous, StreamContext
from streamer.state.stat import LARGEST
from streamer.state.tally import Tally
from streamer.state.track import TrackState
from streamer.types import Counters, FloatArray


class Maker(msgspec.Struct, frozen=True, kw_only=True):
    """What made a snapshot: only the same can go on from it."""

    stream: str
    run: str
    session: str
    model: str
    precision: str
    window: int


class StreamBody(msgspec.Struct, kw_only=True):
    """A stream's checkpoint. `tracks` are (epoch, number) of the living; `position` and `tracker` are their owners'."""

    made_by: Maker
    epoch: int
    seq: dict[str, int]
    previous: Previous | None
    moment: Moment | None
    tracks: list[tuple[int, int]]
    position: dict[str, Any]
    tracker: Any
    done: bool


class TrackBody(msgspec.Struct, kw_only=True):
    """A track's checkpoint. `probs` (s,7) float32 and `features` (s,D) are the ring, oldest first."""

    made_by: Maker
    epoch: int
    number: int
    began_s: float
    n: int
    warm_at: int
    restored: bool
    probs: np.ndarray | None
    features: np.ndarray | None
    h: np.ndarray | None
    c: np.ndarray | None
    window: Tally
    life: Tally


@dataclass(frozen=True, slots=True)
class SnapshotSet:
    """What to write: values by key, the stream's own last, and the keys that are no longer needed."""

    puts: dict[bytes, bytes]
    tombstones: list[bytes]


@dataclass(frozen=True, slots=True)
class Restored:
    """A stream taken up again. `cold` names live tracks that start anew and why; `done`: nothing is left to do."""

    actor: StreamActor
    position: dict[str, Any]
    tracker: Any
    cold: tuple[tuple[Track, str], ...]
    done: bool


def take(
    actor: StreamActor, position: Mapping[str, Any], tracker: object, *, full: bool = False, done: bool = False
) -> SnapshotSet:
    """The values of what changed since the last `take` (of everything when `full`).

    Called between frames by the actor's owner. `position` and `tracker` are plain values or arrays; they come back
    with lists for tuples. What is returned must be written before the next `take`, else that one must be `full`:
    it also deletes again what earlier ones did, as far back as the actor remembers.
    """
    assert not actor.waiting, "resolve() the frame before a snapshot"
    context, recorder = actor.context, actor.recorder
    made_by = _maker(context, actor.settings)
    puts: dict[bytes, bytes] = {}
    for track in actor.tracks.values():
        if full or track.changed:
            key = track_key(context.stream, track.id)
            body = _track_body(track, made_by, exact=context.mode == "archive")
            values = seal(key, "track", context.stream, context.epoch, actor.n_snapshots, body)
            track.stored_keys = _supersede(actor, track.stored_keys, values)
            track.changed = False
            puts |= values
    stream_body = {
        "made_by": made_by,
        "epoch": context.epoch,
        "seq": recorder.seq,
        "previous": None if recorder.previous is None else msgspec.to_builtins(recorder.previous),
        "moment": None if recorder.moment is None else msgspec.to_builtins(recorder.moment),
        "tracks": [[track.id.epoch, track.id.number] for track in actor.tracks.values()],
        "position": dict(position),
        "tracker": tracker,
        "done": done,
    }
    key = stream_key(context.stream)
    values = seal(key, "stream", context.stream, context.epoch, actor.n_snapshots, stream_body)
    actor.stored_keys = _supersede(actor, actor.stored_keys, values)
    puts |= values
    dead, actor.tombstones = actor.tombstones, []
    # A key that is in use again (another run's, or a value that grew again) is replaced, not deleted.
    tombstones = [name for name in dict.fromkeys([*actor.buried, *dead] if full else dead) if name not in puts]
    actor.buried.extend(dead)
    actor.n_snapshots += 1
    return SnapshotSet(puts, tombstones)


def keys_of(actor: StreamActor) -> list[bytes]:
    """Everything that may be stored of the stream: what to delete when it is over and nobody is to go on from it."""
    living = (name for track in actor.tracks.values() for name in track.stored_keys)
    return list(dict.fromkeys([*actor.buried, *actor.tombstones, *living, *actor.stored_keys]))


def restore(
    context: StreamContext,
    settings: StateSettings,
    needs: HeadNeeds,
    counters: Counters,
    values: Mapping[bytes, bytes],
) -> Restored:
    """The stream of `context` as its snapshot in `values` left it.

    Under the epoch that wrote it everything goes on as if never stopped. Under a higher one (another owner) record
    numbers start at 0 and name the epoch before, and tracks say `restored` until a full block has passed. Values of
    this stream's tracks that the checkpoint does not name are put down for deletion.
    A new owner writes everything at once, so every good value has the epoch of the stream's checkpoint. One that has
    not was written late, by an owner who did not know yet that the stream had been taken over: the track starts cold.
    Where it is the checkpoint that came late, it is taken up with its own tracks, and the epoch before is still the
    highest that any value speaks of.
    Raises `SnapshotRefused` when the stream's checkpoint is missing, damaged, newer, or of another model, precision,
    window, stream or later epoch; in archive mode also for another run or file, and for any track's value.
    """
    key = stream_key(context.stream)
    header, raw, stored_keys = unseal(values, key)
    body = as_body(raw, StreamBody)
    _same_maker(body.made_by, context, settings)
    if body.epoch > context.epoch:
        raise SnapshotRefused(
            f"the snapshot of {context.stream} was written under epoch {body.epoch}, after this one's {context.epoch}: "
            "another worker owns the stream"
        )
    taken_over = body.epoch != context.epoch
    actor = StreamActor(context, settings, needs, counters)
    actor.stored_keys = stored_keys
    actor.n_snapshots = 0 if taken_over else header.seq + 1
    recorder = actor.recorder
    if taken_over:
        before = max(_epochs_below(context.epoch, values), default=body.epoch)
        known = body.seq if before == body.epoch else {}
        recorder.previous = Previous(before, {topic: seq - 1 for topic, seq in known.items()})
    else:
        recorder.seq, recorder.previous = body.seq, body.previous
    if body.moment is not None:
        recorder.stand(body.moment)
    cold: list[tuple[Track, str]] = []
    for epoch, number in body.tracks:
        id_ = Track(epoch=epoch, number=number)
        try:
            track = _track(values, id_, body.epoch, context, settings, needs)
        except SnapshotRefused as refused:
            if context.mode == "archive":
                raise
            cold.append((id_, str(refused)))
            continue
        if taken_over:
            track.took_over()
        track.changed = taken_over
        actor.tracks[number] = track
    kept = {*stored_keys, *(name for track in actor.tracks.values() for name in track.stored_keys)}
    actor.tombstones = [name for name in values if name.startswith(key + b"/") and name not in kept]
    return Restored(actor, body.position, body.tracker, tuple(cold), body.done)


def _epochs_below(limit: int, values: Mapping[bytes, bytes]) -> Iterator[int]:
    """The epochs under which `values` were written, as far as they can be read and are earlier than `limit`."""
    for value in values.values():
        try:
            epoch = peek(value).epoch
        except SnapshotRefused:
            continue
        if epoch < limit:
            yield epoch


def _supersede(actor: StreamActor, stored_keys: tuple[bytes, ...], values: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """The keys now stored; parts that a smaller value no longer has are put down for deletion."""
    actor.tombstones += [key for key in stored_keys if key not in values]
    return tuple(values)


def _maker(context: StreamContext, settings: StateSettings) -> dict[str, Any]:
    return {
        "stream": context.stream,
        "run": context.run,
        "session": context.session,
        "model": context.model,
        "precision": context.precision,
        "window": settings.window,
    }


def _same_maker(made_by: Maker, context: StreamContext, settings: StateSettings) -> None:
    present = Maker(**_maker(context, settings))
    # A live run's name and session change with its owner; an archive's are what was being computed.
    names = ("stream", "model", "precision", "window") + (("run", "session") if context.mode == "archive" else ())
    for name in names:
        was, now = getattr(made_by, name), getattr(present, name)
        if was != now:
            raise SnapshotRefused(f"the snapshot of {context.stream} was made with {name} {was}, not {now}")


def _track_body(track: TrackState, made_by: dict[str, Any], *, exact: bool) -> dict[str, Any]:
    probs = features = None
    if track.ring is not None:
        rows = track.ring.rows()
        probs = rows[:, track.ring.n_features :]
        if track.ring.n_features:
            features = rows[:, : track.ring.n_features].astype(np.float32 if exact else np.float16)
    return {
        "made_by": made_by,
        "epoch": track.id.epoch,
        "number": track.id.number,
        "began_s": track.began_s,
        "n": track.n,
        "warm_at": track.warm_at,
        "restored": track.restored,
        "probs": probs,
        "features": features,
        "h": track.h,
        "c": track.c,
        "window": msgspec.to_builtins(track.window),
        "life": msgspec.to_builtins(track.life),
    }


def _track(
    values: Mapping[bytes, bytes],
    id: Track,
    owner: int,
    context: StreamContext,
    settings: StateSettings,
    needs: HeadNeeds,
) -> TrackState:
    header, raw, stored_keys = unseal(values, track_key(context.stream, id))
    if header.epoch != owner:
        raise SnapshotRefused(
            f"the snapshot of track {id.number} of {context.stream} is of epoch {header.epoch} and the stream's of "
            f"{owner}: one of them was written late, by an owner who had lost the stream"
        )
    body = as_body(raw, TrackBody)
    _same_maker(body.made_by, context, settings)
    whole = body.n >= 1 and body.n == body.life.n + body.window.n and body.window.n < settings.window
    if (body.epoch, body.number) != (id.epoch, id.number) or not whole:
        raise SnapshotRefused(f"the snapshot of track {id.number} of {context.stream} contradicts itself")
    track = TrackState(id, body.began_s, needs, settings.window)
    track.stored_keys = stored_keys
    track.n, track.warm_at, track.restored = body.n, body.warm_at, body.restored
    track.window, track.life = body.window, body.life
    if not math.isfinite(track.last_s or 0.0):
        raise SnapshotRefused(f"the snapshot of track {id.number} of {context.stream} has a time that is none")
    if needs.hidden:
        track.h = _array(body.h, (needs.hidden,), "h")
        track.c = _array(body.c, (needs.hidden,), "c")
    if track.ring is not None:
        rows = _array(body.probs, (track.n_block, N_PROBS), "probs")
        if track.ring.n_features:
            features = _array(body.features, (track.n_block, track.ring.n_features), "features")
            rows = np.concatenate([features, rows], axis=1)
        track.ring.restore(rows)
    return track


def _array(array: np.ndarray | None, shape: tuple[int, ...], name: str) -> FloatArray:
    if array is None or array.shape != shape or array.dtype.kind != "f":
        raise SnapshotRefused(f"the snapshot's `{name}` is not what the head reads: {shape} expected")
    if not np.isfinite(array).all() or (name == "features" and not (np.abs(array) <= LARGEST).all()):
        raise SnapshotRefused(f"the snapshot's `{name}` holds NaN or numbers beyond belief")
    return array.astype(np.float32)
