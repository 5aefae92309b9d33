"""The way of the data through the stages, for one batch of frames. Wiring only: every stage does its own work.

    frames -> detect (batched) -> track (per stream) -> align -> embed (batched over all faces)
           -> state: observe, temporal head (batched over streams), resolve -> records

A later `refine` stage belongs between track and align.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from engines.errors import EnginesError
from engines.runtime import head_precision, open_head, open_runner, precision_of_others
from engines.spec import ModelSpec
from engines.zoo import check_fit, load, load_head
from streamer.config import Config
from streamer.errors import ModelError
from streamer.faces.align import align
from streamer.faces.detect import Detector
from streamer.faces.embed import Embedded, Embedder
from streamer.faces.quality import assess
from streamer.faces.track import Tracker
from streamer.messages import Observation, Record
from streamer.state.actor import StreamActor
from streamer.state.heads import EngineHead, MeanHead, PassthroughHead, TemporalHead
from streamer.types import Counters, Detections, FaceObservation, Frame, FrameFaces, TrackUpdate


@dataclass(slots=True)
class StreamState:
    """Everything one stream carries from frame to frame, and how far it is.

    `next_index` is the index of the first frame not yet analysed; `media_time_s` and `arrival_s` (on the monotonic
    clock) are the newest one's that was.
    """

    tracker: Tracker
    actor: StreamActor
    counters: Counters = field(default_factory=Counters)
    next_index: int = 0
    media_time_s: float = 0.0
    arrival_s: float | None = None
    faces_now: int = 0
    n_tracks: int = 0


class StageTimes:
    """CPU seconds of this thread, by stage."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to `name`."""
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - start


@dataclass(frozen=True, slots=True)
class Models:
    """The opened models of one process. `precision` is the expression model's, which records carry."""

    detector: Detector
    embedder: Embedder
    expression: ModelSpec
    head: TemporalHead
    model_id: str
    precision: str
    device: str

    @staticmethod
    def open(config: Config, cache: Path | None = None) -> Models:
        """Load, check and compile the configured models; nothing is fetched. Raises `ModelError`."""
        wanted = config.models
        folder = Path(wanted.folder) if wanted.folder else None
        others = precision_of_others(wanted.precision)
        try:
            detector_model = load(wanted.detector, cache=cache, folder=folder, offline=True, role="detector")
            expression_model = load(
                wanted.expression,
                cache=cache,
                folder=folder,
                offline=True,
                precision=wanted.precision,
                role="expression",
            )
            spec = expression_model.spec
            head = _open_head(config, spec, cache)
            runner = open_runner(expression_model, precision=wanted.precision, cache=cache, device=wanted.device)
            detector = Detector(
                wanted.detector,
                lambda size_wh: open_runner(
                    detector_model, precision=others, input_size_wh=size_wh, cache=cache, device=wanted.device
                ),
                config.detect,
            )
        except EnginesError as error:
            raise ModelError(str(error)) from error
        ids = [detector_model.spec.model_id, spec.model_id]
        if head.spec is not None:
            ids.append(head.spec.model_id)
        elif wanted.head != "none":
            ids.append(wanted.head)
        return Models(detector, Embedder(runner, spec), spec, head, "+".join(ids), runner.precision, runner.device)


def _open_head(config: Config, backbone: ModelSpec, cache: Path | None) -> TemporalHead:
    name = config.models.head
    if name == "none":
        return PassthroughHead()
    if name == "mean":
        return MeanHead()
    spec, path = load_head(name)
    check_fit(spec, backbone)
    wanted = config.models
    precision = head_precision(wanted.precision, spec, wanted.device)
    runner = open_head(path, spec, precision=precision, cache=cache, device=wanted.device)
    return EngineHead(runner, spec)


class Pipeline:
    """Takes batches of frames through all stages. Owned by one thread."""

    def __init__(self, models: Models, config: Config, times: StageTimes) -> None:
        self._models = models
        self._config = config
        self._times = times

    def prepare(self, picture_size_wh: tuple[int, int]) -> None:
        """Compile what pictures of this size need, before the first of them comes. Raises `ModelError`."""
        try:
            self._models.detector.prepare(*picture_size_wh)
        except EnginesError as error:
            raise ModelError(str(error)) from error

    def step(self, batch: Sequence[tuple[StreamState, Frame]]) -> list[tuple[StreamState, list[Record]]]:
        """The records of each frame, in the order of the batch. A stream may have several frames, in its own order.

        What an engine fails at is dropped and counted. Raises `ModelError` when the models do not fit together.
        """
        times = self._times
        with times.stage("detect"):
            detections = self._detect(batch)
        with times.stage("track"):
            updates = [
                state.tracker.update(found, frame.media_time_s) if found is not None else TrackUpdate()
                for (state, frame), found in zip(batch, detections, strict=True)
            ]
        with times.stage("align"):
            crops = self._crops(batch, updates)
        with times.stage("embed"):
            embedded = self._embed(crops)
        with times.stage("state"):
            faces = self._observations(batch, updates, embedded)
            return self._resolve(batch, faces)

    def _detect(self, batch: Sequence[tuple[StreamState, Frame]]) -> list[Detections | None]:
        """The faces of each frame; None, counted, where the engine failed: its tracks then live on unseen."""
        detected = self._models.detector.detect_each([frame.picture for _, frame in batch])
        for (state, _), cause in zip(batch, detected.causes, strict=True):
            if cause is not None:
                state.counters.drop(cause)
        return [
            found if cause is None else None for found, cause in zip(detected.detections, detected.causes, strict=True)
        ]

    def _crops(self, batch: Sequence[tuple[StreamState, Frame]], updates: Sequence[TrackUpdate]) -> np.ndarray | None:
        spec = self._models.expression
        assert spec.crop is not None, "an expression model always has a crop geometry"
        colour: Literal["rgb", "bgr"] = "bgr" if spec.normalisation.colour == "bgr" else "rgb"
        crops = [
            align(frame.picture, face, spec.crop, colour)
            for (_, frame), update in zip(batch, updates, strict=True)
            for face in update.faces
        ]
        return np.stack(crops) if crops else None

    def _embed(self, crops: np.ndarray | None) -> Embedded:
        return self._models.embedder.embed(crops) if crops is not None else Embedded([], [])

    def _observations(
        self,
        batch: Sequence[tuple[StreamState, Frame]],
        updates: Sequence[TrackUpdate],
        embedded: Embedded,
    ) -> list[FrameFaces]:
        rows = iter(zip(embedded.embeddings, embedded.causes, strict=True))
        frames: list[FrameFaces] = []
        for (state, frame), update in zip(batch, updates, strict=True):
            faces: list[FaceObservation] = []
            for face in update.faces:
                embedding, cause = next(rows)
                if embedding is None:
                    state.counters.drop(cause or "engine_error")
                    continue
                verdict = assess(face, self._config.quality)
                faces.append(
                    FaceObservation(face, embedding, verdict.quality, verdict.causes, verdict.roll_deg, verdict.yaw_deg)
                )
            frames.append(
                FrameFaces(
                    segment=frame.segment,
                    pts=frame.pts,
                    index=frame.index,
                    media_time_s=frame.media_time_s,
                    capture_time_s=frame.capture_time_s,
                    time_origin=frame.time_origin,
                    picture_size_wh=(frame.picture.width, frame.picture.height),
                    faces=tuple(faces),
                    ended=update.ended,
                )
            )
        return frames

    def _resolve(
        self, batch: Sequence[tuple[StreamState, Frame]], faces: Sequence[FrameFaces]
    ) -> list[tuple[StreamState, list[Record]]]:
        records: list[list[Record]] = [[] for _ in batch]
        for round_ in _rounds([id(state) for state, _ in batch]):
            pending = [batch[i][0].actor.observe(faces[i]) for i in round_]
            outputs = self._models.head.infer_all([one.inputs for one in pending])
            for i, one, output in zip(round_, pending, outputs, strict=True):
                records[i] = batch[i][0].actor.resolve(one, output)
        for (state, frame), found, made in zip(batch, faces, records, strict=True):
            state.next_index = frame.index + 1
            state.media_time_s, state.arrival_s = frame.media_time_s, frame.arrival_s
            state.faces_now = len(found.faces)
            state.n_tracks = max([state.n_tracks, *(seen.face.track for seen in found.faces)])
            state.counters.analysed += 1
            state.counters.faces += sum(isinstance(record, Observation) for record in made)
            state.counters.records += len(made)
        return [(state, made) for (state, _), made in zip(batch, records, strict=True)]


def _rounds(owners: Sequence[int]) -> list[list[int]]:
    """Positions in rounds: each round holds at most one frame of a stream, a stream's frames keep their order.

    A recurrent head needs a track's state after frame t before it can take frame t+1.
    """
    rounds: list[list[int]] = []
    depth: dict[int, int] = {}
    for position, owner in enumerate(owners):
        at = depth.get(owner, 0)
        depth[owner] = at + 1
        if at == len(rounds):
            rounds.append([])
        rounds[at].append(position)
    return rounds
