"""The actor of one stream: takes in its faces frame by frame and says what they express.

The actor owns everything that lives from one frame of the stream to the next: the tracks' memories and the record
numbers. It does no inference; it says what to infer (`observe`) and takes the answers (`resolve`), so that one batch
serves many streams. It knows no clock: media time alone ages it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from engines.spec import N_PROBS, ContextName, stat_size
from streamer.config import StateSettings
from streamer.errors import ModelError, NotFinite
from streamer.messages import Record, SourceState, Status, Track, VaOrigin
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput
from streamer.state.records import LeftCause, Recorder, StreamContext
from streamer.state.tally import Answer
from streamer.state.track import TrackState
from streamer.state.va import derived, origin, within
from streamer.types import Counters, Embedding, FaceObservation, FrameFaces

BURIED_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Pending:
    """A frame that waits for its head's answers: row i of `inputs` is `faces[i]`, whose memory is `tracks[i]`."""

    frame: FrameFaces
    faces: tuple[FaceObservation, ...]
    tracks: tuple[TrackState, ...]
    inputs: HeadBatch


class StreamActor:
    """One stream's state, owned by one thread.

    `needs` are those of the head that answers. Drops are counted in `counters`; nothing else of it is touched.
    The attributes are for snapshots: `tracks` by their number at the tracker, `tombstones` the stored keys of tracks
    that are over, `buried` those whose tombstones were handed out lately (and may not have arrived), `stored_keys`
    those of the stream itself, `n_snapshots` how many were taken in this epoch.
    """

    def __init__(self, context: StreamContext, settings: StateSettings, needs: HeadNeeds, counters: Counters) -> None:
        self.settings = settings
        self.needs = needs
        self.counters = counters
        self.recorder = Recorder(context)
        self.tracks: dict[int, TrackState] = {}
        self.tombstones: list[bytes] = []
        self.buried: deque[bytes] = deque(maxlen=BURIED_KEYS)
        self.stored_keys: tuple[bytes, ...] = ()
        self.n_snapshots = 0
        self._pending: Pending | None = None
        self._s_stat = stat_size(needs.stat, needs.n_features)
        self._backbone_va = origin(context.valence_arousal_trained_on)
        self._head_va = origin(needs.valence_arousal_trained_on)

    @property
    def context(self) -> StreamContext:
        """What the records share."""
        return self.recorder.context

    @property
    def waiting(self) -> bool:
        """Whether a frame was observed and not yet resolved; no snapshot can be taken then."""
        return self._pending is not None

    def begin_session(self, session: str) -> None:
        """The source was opened again (a camera came back); tracks and their memories stay."""
        self.recorder.begin_session(session)

    def observe(self, frame: FrameFaces) -> Pending:
        """What the head must answer for this frame. `resolve` follows before the next `observe`.

        A face whose embedding is not finite is dropped and counted. Raises `ModelError` when the backbone's features
        are not what the head reads.
        """
        assert self._pending is None, "resolve() the frame before"
        rows: list[tuple[FaceObservation, TrackState]] = []
        stat = np.empty((len(frame.faces), self._s_stat), np.float32)
        for seen in frame.faces:
            track = self.tracks.get(seen.face.track) or self._begin(seen.face.track, frame.media_time_s)
            try:
                self._check(seen.embedding)
                if track.ring is not None:
                    track.ring.stage(seen.embedding.features, seen.embedding.probs, stat[len(rows)])
            except NotFinite:
                self.counters.drop("not_finite")
                continue
            rows.append((seen, track))
        faces = tuple(seen for seen, _ in rows)
        tracks = tuple(track for _, track in rows)
        inputs = self._inputs(frame.media_time_s, faces, tracks, stat[: len(rows)])
        self._pending = Pending(frame, faces, tracks, inputs)
        return self._pending

    def resolve(self, pending: Pending, output: HeadOutput) -> list[Record]:
        """The frame's records, from the head's answers to `pending.inputs`: tracks that are over come first.

        A face without an answer is dropped, counted, and leaves no trace in its track.
        """
        assert pending is self._pending, "resolve() takes what observe() gave last"
        self._pending = None
        frame = pending.frame
        self.recorder.at(frame)
        records: list[Record] = []
        for number in frame.ended:
            track = self.tracks.pop(number, None)
            if track is not None:
                records += self._leave(track, "lost")
        for i, (seen, track) in enumerate(zip(pending.faces, pending.tracks, strict=True)):
            cause = output.causes[i] if output.causes else None
            if cause is not None:
                self.counters.drop(cause)
                continue
            self._commit(seen.face.track, track, output, i)
            records += self._emit(frame, seen, track, output, i)
        return records

    def finish(self, cause: LeftCause) -> list[Record]:
        """The stream is over: open windows and the tracks that were left."""
        assert self._pending is None, "resolve() the frame before"
        records: list[Record] = []
        for track in self.tracks.values():
            records += self._leave(track, cause)
        self.tracks.clear()
        return records

    def status(
        self,
        state: SourceState,
        counters: Counters,
        *,
        wall_s: float | None = None,
        cause: str | None = None,
        message: str | None = None,
        frame_age_s: float | None = None,
        reorder_delay_s: float | None = None,
    ) -> Status:
        """A numbered status record; `wall_s` is the present wall time, `frame_age_s` the age of the newest frame."""
        return self.recorder.status(state, counters, wall_s, cause, message, frame_age_s, reorder_delay_s)

    def _begin(self, number: int, media_time_s: float) -> TrackState:
        began = Track(epoch=self.context.epoch, number=number)
        return TrackState(began, media_time_s, self.needs, self.settings.window)

    def _check(self, embedding: Embedding) -> None:
        wanted = self.needs.n_features
        if wanted and embedding.features.shape != (wanted,):
            raise ModelError(
                f"the head reads {wanted} features and the expression model gives {embedding.features.shape}: "
                "use the head with the backbone it was trained on"
            )
        # One sum is finite only when all its parts are.
        numbers = sum(embedding.probs.tolist())
        if embedding.valence is not None and embedding.arousal is not None:
            numbers += embedding.valence + embedding.arousal
        if not math.isfinite(numbers) or (wanted and not np.isfinite(embedding.features).all()):
            raise NotFinite("an embedding is not finite")

    def _inputs(
        self, at_s: float, faces: tuple[FaceObservation, ...], tracks: tuple[TrackState, ...], stat: np.ndarray
    ) -> HeadBatch:
        needs, n = self.needs, len(faces)
        probs = np.empty((n, N_PROBS), np.float32)
        features = np.empty((n, needs.n_features), np.float32) if needs.n_features else None
        block = np.empty((n, tracks[0].n_block, N_PROBS), np.float32) if needs.windowed and n else None
        h = np.empty((n, needs.hidden), np.float32) if needs.hidden else None
        c = np.empty((n, needs.hidden), np.float32) if needs.hidden else None
        context = np.empty((n, len(needs.context)), np.float32) if needs.context else None
        for i, (seen, track) in enumerate(zip(faces, tracks, strict=True)):
            probs[i] = seen.embedding.probs
            if features is not None:
                features[i] = seen.embedding.features
            if block is not None and track.ring is not None:
                block[i] = track.ring.block()
            if h is not None and c is not None:
                h[i] = track.h
                c[i] = track.c
            if context is not None:
                context[i] = [_told(name, at_s, seen, track) for name in needs.context]
        return HeadBatch(probs, features, stat if needs.stat != "none" else None, block, h, c, context)

    def _commit(self, number: int, track: TrackState, output: HeadOutput, i: int) -> None:
        self.tracks[number] = track
        track.changed = True
        if track.ring is not None:
            track.ring.commit()
        if output.h is not None and output.c is not None:
            track.h = output.h[i].copy()
            track.c = output.c[i].copy()

    def _emit(
        self, frame: FrameFaces, seen: FaceObservation, track: TrackState, output: HeadOutput, i: int
    ) -> list[Record]:
        bare = tuple(seen.embedding.probs.tolist())
        probs = tuple(output.probs[i].tolist())
        if probs == bare:
            probs = bare
        valence, arousal, va_origin = self._valence_arousal(seen.embedding, probs, output, i)
        confidence = max(probs)
        label = probs.index(confidence) if seen.quality == "ok" else None
        answer = Answer(probs, label, confidence, valence, arousal, va_origin)
        recorder = self.recorder
        records: list[Record] = []
        if track.n == 0:
            records.append(recorder.appeared(track.id, va_origin))
        track.n += 1
        track.window.add(frame.media_time_s, answer)
        records.append(recorder.observation(track, seen, answer, bare, frame.picture_size_wh))
        if track.window.n == self.settings.window:
            records.append(recorder.window(track.id, track.close_window(), complete=True))
        return records

    def _valence_arousal(
        self, embedding: Embedding, probs: tuple[float, ...], output: HeadOutput, i: int
    ) -> tuple[float, float, VaOrigin]:
        """The best there is: learned from people by the head, then by the backbone; else what is merely derived."""
        head = backbone = None
        if output.valence is not None and output.arousal is not None:
            head = (within(float(output.valence[i])), within(float(output.arousal[i])), self._head_va)
        if embedding.valence is not None and embedding.arousal is not None:
            backbone = (within(embedding.valence), within(embedding.arousal), self._backbone_va)
        for candidate in (head, backbone):
            if candidate is not None and candidate[2] == "predicted":
                return candidate
        return head or backbone or (*derived(probs), "derived")

    def _leave(self, track: TrackState, cause: LeftCause) -> list[Record]:
        records: list[Record] = []
        if track.window.n:
            records.append(self.recorder.window(track.id, track.close_window(), complete=False))
        records.append(self.recorder.left(track.id, track.life, cause))
        self.tombstones += track.stored_keys
        return records


def _told(name: ContextName, at_s: float, seen: FaceObservation, track: TrackState) -> float:
    """One quantity of an observation's context, see `engines.spec.ContextName`."""
    match name:
        case "gap_s":
            last_s = track.last_s
            return 0.0 if last_s is None else max(0.0, at_s - last_s)
        case "detector_score":
            return seen.face.score
        case "face_px":
            return seen.face.face_px
        case "roll_deg":
            return seen.roll_deg
        case "yaw_deg":
            return seen.yaw_deg
