"""The way of the data through the stages, for one batch of frames. Wiring only: every stage does its own work.

    frames -> detect, or refine what is known (batched) -> track (per stream) -> align -> embed (batched over all faces)
           -> state: observe, temporal head (batched over streams), resolve -> records

Where the setting `gates` allows it, a search or an inference is asked for only where something changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from engines.errors import EnginesError
from engines.runtime import head_precision, open_head, open_runner, precision_of_others
from engines.spec import ModelSpec
from engines.zoo import check_fit, load, load_head
from streamer.config import Config
from streamer.counting import STAGE_BUCKETS_S, Counting
from streamer.errors import ModelError
from streamer.faces.align import align
from streamer.faces.budget import largest
from streamer.faces.chains import Chain, find, place_of
from streamer.faces.detect import Detector
from streamer.faces.embed import Embedder
from streamer.faces.gates import FACE_LEVELS, SCENE_LEVELS, Asking, ask_where_changed, look_at_face, look_at_scene
from streamer.faces.quality import assess
from streamer.faces.refine import Refined, Refiner
from streamer.faces.standing import Standing
from streamer.faces.track import Tracker
from streamer.messages import Observation, Record
from streamer.pixels import Picture
from streamer.state.actor import StreamActor
from streamer.state.heads import EngineHead, MeanHead, PassthroughHead, TemporalHead
from streamer.types import (
    Counters,
    Detections,
    DropCause,
    Embedding,
    FaceObservation,
    Frame,
    FrameFaces,
    Reused,
    Sight,
    TrackedFace,
    TrackUpdate,
    UInt8Array,
)

SLICE_FACES = 4
"""After so many faces of a frame others may pass: about 3 ms with the default models."""
REUSED: dict[tuple[bool, bool], tuple[Reused, ...]] = {
    (False, False): (),
    (True, False): ("search",),
    (False, True): ("inference",),
    (True, True): ("search", "inference"),
}
"""What a record says, by whether the search and whether the inference stood."""


@dataclass(slots=True)
class StreamState:
    """Everything one stream carries from frame to frame, and how far it is.

    `next_index` is the index of the first frame not yet analysed; `media_time_s` and `arrival_s` (on the monotonic
    clock) are the newest one's that was. Of a frame at most `max_faces` faces are analysed (0: all).
    """

    tracker: Tracker
    actor: StreamActor
    counters: Counters = field(default_factory=Counters)
    next_index: int = 0
    media_time_s: float = 0.0
    arrival_s: float | None = None
    faces_now: int = 0
    n_tracks: int = 0
    max_faces: int = 0
    standing: Standing = field(default_factory=Standing)

    def snapshot(self, *, exact: bool) -> dict[str, Any]:
        """The tracker's snapshot with what stands (see `Standing.snapshot`), to be restored by both of them."""
        return self.tracker.snapshot() | self.standing.snapshot(exact=exact)


class StageTimes:
    """CPU seconds of this thread by stage, and each pass of a stage by its wall time.

    `watch`, where there is one, is told of each pass: the stage, and when it began and ended on the monotonic clock.
    """

    def __init__(
        self, clock: Callable[[], float] = time.thread_time, wall: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._wall = wall
        self.seconds: dict[str, float] = {}
        self.passes: dict[str, Counting] = {}
        self.watch: Callable[[str, float, float], None] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to `name`."""
        begun_s, start = self._wall(), self._clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - start
            ended_s = self._wall()
            if name not in self.passes:
                self.passes[name] = Counting(STAGE_BUCKETS_S)
            self.passes[name].observe(ended_s - begun_s)
            if self.watch is not None:
                self.watch(name, begun_s, ended_s)


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
    def open(config: Config, cache: Path | None = None, *, at_once: bool = True) -> Models:
        """Load, check and compile the configured models; nothing is fetched. Raises `ModelError`.

        Unless all is wanted `at_once`, what only makes larger batches faster may follow while frames go through.
        """
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
            head = _open_head(config, spec, cache, at_once)
            runner = open_runner(
                expression_model, precision=wanted.precision, cache=cache, device=wanted.device, at_once=at_once
            )
            detector = Detector(
                wanted.detector,
                lambda size_wh: open_runner(
                    detector_model,
                    precision=others,
                    input_size_wh=size_wh,
                    cache=cache,
                    device=wanted.device,
                    at_once=at_once,
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


def _open_head(config: Config, backbone: ModelSpec, cache: Path | None, at_once: bool) -> TemporalHead:
    name = config.models.head
    if name == "none":
        return PassthroughHead()
    if name == "mean":
        return MeanHead()
    spec, path = load_head(name)
    check_fit(spec, backbone)
    wanted = config.models
    precision = head_precision(wanted.precision, spec, wanted.device)
    runner = open_head(path, spec, precision=precision, cache=cache, device=wanted.device, at_once=at_once)
    return EngineHead(runner, spec)


class Errand(Protocol):
    """A part of a batch, `start` to `stop`, that another process looks at meanwhile."""

    start: int
    stop: int

    def wait(self) -> Sequence[Sight] | None:
        """What was seen in each of its frames; None where nobody could tell."""
        ...


class Elsewhere(Protocol):
    """Other processes with the same models."""

    def begin(self, batch: Sequence[tuple[Chain, Frame]]) -> Sequence[Errand]:
        """Give the end of a batch away: parts that follow each other, each from the first frame of a cell on."""
        ...

    def done_here(self, n_frames: int) -> None:
        """So many frames, the beginning of the batch begun last, were looked at here since."""
        ...


class Pipeline:
    """Takes batches of frames through all stages. Owned by one thread.

    With `elsewhere` the networks look at a part of each batch in other processes; what comes out is the same, and in
    the same order. The records of that part may be owed until the next batch, or `finish`: then the others have their
    next part before they are done with this one.
    """

    def __init__(self, models: Models, config: Config, times: StageTimes, elsewhere: Elsewhere | None = None) -> None:
        self._models = models
        self._config = config
        self._times = times
        self._elsewhere = elsewhere
        self._held: list[tuple[Errand, Sequence[tuple[StreamState, Frame]]]] = []
        self._refiner = Refiner(models.detector, config.track.new_track_score)

    def prepare(self, picture_size_wh: tuple[int, int]) -> None:
        """Compile what pictures of this size need, before the first of them comes. Raises `ModelError`."""
        try:
            self._models.detector.prepare(*picture_size_wh)
        except EnginesError as error:
            raise ModelError(str(error)) from error

    def step(
        self,
        batch: Sequence[tuple[StreamState, Frame]],
        between: Callable[[], None] | None = None,
        *,
        may_owe: bool = False,
    ) -> list[tuple[StreamState, list[Record]]]:
        """The records of each frame, in the order of the batch. A stream may have several frames, in its own order.

        Where it `may_owe`: of the frames that the batch before still owed, and of this one's but those it now owes.

        What an engine fails at is dropped and counted. Raises `ModelError` when the models do not fit together.
        `between` is called every few faces: from there, frames of streams that are not in `batch` may be stepped, so
        that they need not wait for a crowd.
        """
        if self._elsewhere is None:
            return self._step(batch, between)
        errands = self._elsewhere.begin([(state.standing.chain, frame) for state, frame in batch])
        made = self.finish()
        here = batch[: errands[0].start] if errands else batch
        made += self._step(here, between)
        if errands:
            self._elsewhere.done_here(len(here))
        self._held = [(errand, batch[errand.start : errand.stop]) for errand in errands]
        return made if may_owe else made + self.finish()

    def finish(self) -> list[tuple[StreamState, list[Record]]]:
        """The records of the frames that are owed, as those of `step`."""
        made: list[tuple[StreamState, list[Record]]] = []
        for errand, part in self._held:
            sights = errand.wait()
            made += self._step(part, None) if sights is None else self._take_in(part, sights)
        self._held = []
        return made

    def look(self, frames: Sequence[Frame]) -> list[Sight]:
        """What the networks say of frames of one stream, the first of which begins a cell: for another process."""
        standing = Standing()
        found, _ = self._detect([(standing, frame) for frame in frames])
        faces = [
            (frame.picture, face)
            for frame, one in zip(frames, found, strict=True)
            if not isinstance(one, str)
            for face in unnumbered(one)
        ]
        answers: list[Embedding | DropCause] = []
        if faces:
            with self._times.stage("align"):
                crops = self._crops(faces)
            with self._times.stage("embed"):
                answers = self._infer(crops)
        rest = iter(answers)
        return [Sight(one, () if isinstance(one, str) else tuple(islice(rest, len(one)))) for one in found]

    def _step(
        self, batch: Sequence[tuple[StreamState, Frame]], between: Callable[[], None] | None
    ) -> list[tuple[StreamState, list[Record]]]:
        found, still = self._detect([(state.standing, frame) for state, frame in batch])
        updates = self._track_all(batch, found)
        frame_of = [i for i, update in enumerate(updates) for _ in update.faces]
        seen = [(*batch[i], face) for i, update in enumerate(updates) for face in update.faces]
        answers: list[Embedding | DropCause] = []
        same: list[bool] = []
        size = SLICE_FACES if between is not None else max(1, len(seen))
        for at in range(0, len(seen), size):
            if between is not None:
                between()
            part = seen[at : at + size]
            with self._times.stage("align"):
                crops = self._crops([(frame.picture, face) for _, frame, face in part])
            with self._times.stage("embed"):
                answered, stands = self._embed(part, crops)
            answers += answered
            same += stands
        stood = [REUSED[still[i], one] for i, one in zip(frame_of, same, strict=True)]
        return self._settle(batch, updates, list(zip(answers, stood, strict=True)))

    def _take_in(
        self, batch: Sequence[tuple[StreamState, Frame]], sights: Sequence[Sight]
    ) -> list[tuple[StreamState, list[Record]]]:
        """The records of frames of one stream that were looked at elsewhere."""
        chain = batch[-1][0].standing.chain
        chain.place = place_of(batch[-1][1], self._config.detect.interval_s)
        last = sights[-1].found
        chain.faces = None if isinstance(last, str) else last
        updates = self._track_all(batch, [sight.found for sight in sights])
        answers = [
            (sight.answers[face.row], REUSED[False, False])
            for sight, update in zip(sights, updates, strict=True)
            for face in update.faces
        ]
        return self._settle(batch, updates, answers)

    def _track_all(
        self, batch: Sequence[tuple[StreamState, Frame]], found: Sequence[Detections | DropCause]
    ) -> list[TrackUpdate]:
        with self._times.stage("track"):
            return [_track(state, frame, one) for (state, frame), one in zip(batch, found, strict=True)]

    def _settle(
        self,
        batch: Sequence[tuple[StreamState, Frame]],
        updates: Sequence[TrackUpdate],
        answers: Sequence[tuple[Embedding | DropCause, tuple[Reused, ...]]],
    ) -> list[tuple[StreamState, list[Record]]]:
        with self._times.stage("state"):
            return self._resolve(batch, self._observations(batch, updates, answers))

    def _detect(self, batch: Sequence[tuple[Standing, Frame]]) -> tuple[list[Detections | DropCause], list[bool]]:
        """The faces of each frame, or why the engine failed, and whether an earlier search stood for it."""
        still = [False] * len(batch)

        def search_each(positions: Sequence[int]) -> list[Detections | DropCause]:
            detected = self._models.detector.detect_each([batch[i][1].picture for i in positions])
            return [cause or found for found, cause in zip(detected.detections, detected.causes, strict=True)]

        def search(positions: Sequence[int]) -> Sequence[Detections | DropCause]:
            with self._times.stage("detect"):
                settings = self._config.gates
                if not settings.still_scene:
                    return search_each(positions)
                askings = [
                    Asking(standing.scene, look_at_scene(frame.picture), frame.media_time_s)
                    for standing, frame in (batch[i] for i in positions)
                ]

                def ask(chosen: Sequence[int]) -> list[Detections | DropCause]:
                    return search_each([positions[k] for k in chosen])

                answers, stood = ask_where_changed(askings, ask, SCENE_LEVELS, settings.still_max_s)
                for i, one in zip(positions, stood, strict=True):
                    still[i] = one
                return answers

        def refine(asked: Sequence[tuple[int, Detections]]) -> list[Refined | DropCause]:
            with self._times.stage("refine"):
                return self._refiner.refine([(batch[i][1].picture, known) for i, known in asked])

        found = find(
            [(standing.chain, frame) for standing, frame in batch],
            self._config.detect.interval_s,
            search,
            refine,
            lambda i: self._refiner.most_faces(batch[i][1].picture),
        )
        return found, still

    def _crops(self, seen: Sequence[tuple[Picture, TrackedFace]]) -> UInt8Array:
        spec = self._models.expression
        assert spec.crop is not None, "an expression model always has a crop geometry"
        colour: Literal["rgb", "bgr"] = "bgr" if spec.normalisation.colour == "bgr" else "rgb"
        return np.stack([align(picture, face, spec.crop, colour) for picture, face in seen])

    def _embed(
        self, seen: Sequence[tuple[StreamState, Frame, TrackedFace]], crops: UInt8Array
    ) -> tuple[list[Embedding | DropCause], list[bool]]:
        """What the network says of each crop, or why it failed, and whether an earlier answer stood for it."""

        def infer(positions: Sequence[int]) -> list[Embedding | DropCause]:
            return self._infer(crops if len(positions) == len(crops) else crops[list(positions)])

        settings = self._config.gates
        if not settings.same_face:
            return infer(range(len(crops))), [False] * len(crops)
        askings = [
            Asking(state.standing.face(face.track), look_at_face(crop), frame.media_time_s)
            for (state, frame, face), crop in zip(seen, crops, strict=True)
        ]
        return ask_where_changed(askings, infer, FACE_LEVELS, settings.same_max_s)

    def _infer(self, crops: UInt8Array) -> list[Embedding | DropCause]:
        embedded = self._models.embedder.embed(crops)
        return [
            cause or "engine_error" if embedding is None else embedding
            for embedding, cause in zip(embedded.embeddings, embedded.causes, strict=True)
        ]

    def _observations(
        self,
        batch: Sequence[tuple[StreamState, Frame]],
        updates: Sequence[TrackUpdate],
        answers: Sequence[tuple[Embedding | DropCause, tuple[Reused, ...]]],
    ) -> list[FrameFaces]:
        """Each frame's faces for its actor; `answers` are of all faces, in order."""
        rows = iter(answers)
        frames: list[FrameFaces] = []
        for (state, frame), update in zip(batch, updates, strict=True):
            faces: list[FaceObservation] = []
            for face in update.faces:
                answer, reused = next(rows)
                if isinstance(answer, str):
                    state.counters.drop(answer)
                    continue
                verdict = assess(face, self._config.quality)
                faces.append(
                    FaceObservation(
                        face, answer, verdict.quality, verdict.causes, verdict.roll_deg, verdict.yaw_deg, reused
                    )
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
            state.standing.forget(found.ended)
            state.next_index = frame.index + 1
            state.media_time_s, state.arrival_s = frame.media_time_s, frame.arrival_s
            state.faces_now = len(found.faces)
            state.n_tracks = max([state.n_tracks, *(seen.face.track for seen in found.faces)])
            state.counters.analysed += 1
            state.counters.faces += sum(isinstance(record, Observation) for record in made)
            state.counters.records += len(made)
        return [(state, made) for (state, _), made in zip(batch, records, strict=True)]


def unnumbered(found: Detections) -> list[TrackedFace]:
    """The faces of a frame before anything is known of their tracks."""
    return [
        TrackedFace(0, found.boxes_xyxy[k], found.points_xy[k], float(found.scores[k]), float(found.face_px[k]), k)
        for k in range(len(found))
    ]


def _track(state: StreamState, frame: Frame, found: Detections | DropCause) -> TrackUpdate:
    """The tracks that go on to be analysed. Where the engine failed none are: they live on unseen."""
    if isinstance(found, str):
        state.counters.drop(found)
        return TrackUpdate()
    update = state.tracker.update(found, frame.media_time_s)
    chosen = largest(update.faces, state.max_faces, state.standing.analysed)
    state.standing.analysed = frozenset(face.track for face in chosen) if state.max_faces else frozenset()
    if len(chosen) == len(update.faces):
        return update
    state.counters.drop("budget", len(update.faces) - len(chosen))
    return replace(update, faces=chosen)


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
