"""The streaming pipeline with an exported model equals the offline evaluation of the same crops: bit for bit on the
same engine, and within 1e-3 of torch at fp32."""

from __future__ import annotations

import dataclasses
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.runtime import open_head, open_runner
from engines.runtime.compiled import core
from engines.runtime.cpu import NATIVE_BF16_FLAGS, this_cpu
from engines.runtime.protocol import FloatArray
from engines.shipping.quantize import quantize_export
from engines.shipping.sides import EngineSide, Temperatures, TorchSide, open_side
from engines.zoo import load_export, load_head
from engines.zoo.sample import fetch_sample
from streamer.clock import SystemClock
from streamer.config import Config, DetectSettings, load
from streamer.decode import open_source
from streamer.faces.detect import Detected, Detector
from streamer.faces.embed import Embedded, Embedder
from streamer.faces.track import Tracker
from streamer.messages import Observation
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.source import Source
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadBatch, HeadOutput
from streamer.state.heads import EngineHead, TemporalHead
from streamer.state.records import StreamContext
from streamer.types import Counters, Detections, Frame
from tests.engines import toys
from tests.engines.exports import TEMPERATURE, Exports

KINDS = ("image", "windowed", "recurrent")
N_FACES, STEP = 3, 48
ANSWERED = ("probs", "valence", "arousal")
ROUNDING = 5.1e-7
"""Records carry six places."""
HAS_BF16 = bool(NATIVE_BF16_FLAGS & this_cpu().flags) and "BF16" in core().get_property(
    "CPU", "OPTIMIZATION_CAPABILITIES"
)
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="this CPU has no bf16")


EVERY_FRAME = Config(detect=DetectSettings(interval_s=0.0))


class SideBySide:
    """A detector that finds one face in each square of the picture; the third is away now and then."""

    def prepare(self, width: int, height: int) -> None:
        pass

    def detect_each(self, pictures: Sequence[Picture]) -> Detected:
        found = []
        for _ in pictures:
            self.n_seen += 1
            n = N_FACES if self.n_seen % 7 else N_FACES - 1
            left = np.arange(n, dtype=np.float32)[:, None] * STEP + 8
            boxes = np.concatenate([left, np.full((n, 1), 8), left + 32, np.full((n, 1), 40)], 1).astype(np.float32)
            points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.4, 0.8], [0.6, 0.8]], np.float32) * 32
            found.append(
                Detections(boxes, boxes[:, None, :2] + points, np.full(n, 0.9, np.float32), np.full(n, 32, np.float32))
            )
        return Detected(found, [None] * len(found))

    n_seen = 0


class Watching:
    """An embedder that keeps the crops it was given and the probabilities it gave."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.crops: list[NDArray[np.uint8]] = []
        self.probs: list[FloatArray] = []

    def embed(self, crops: NDArray[np.uint8]) -> Embedded:
        self.crops += list(crops)
        embedded = self.embedder.embed(crops)
        self.probs += [one.probs for one in embedded.embeddings if one is not None]
        return embedded


class WatchedHead:
    """A head that keeps what it answered: records are rounded to six places, bits are compared before that."""

    def __init__(self, head: TemporalHead) -> None:
        self.head, self.spec, self.needs = head, head.spec, head.needs
        self.answers: list[HeadOutput] = []

    def infer(self, batch: HeadBatch) -> HeadOutput:
        return self.head.infer(batch)

    def infer_all(self, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
        outputs = self.head.infer_all(batches)
        self.answers += [one.rows(i, i + 1) for one in outputs for i in range(len(one.probs))]
        return outputs


@dataclass(frozen=True)
class Track:
    """One track's crops, what the streamer computed for them (`probs`, `head/probs`, ...), and its records."""

    crops: NDArray[np.uint8]
    computed: dict[str, FloatArray]
    said: list[Observation]


def toy_frames(n: int) -> Iterator[Frame]:
    """Pictures with three toy faces, each on its own way through the classes."""
    made = toys.pictures(n * N_FACES, 71)[0].reshape(n, N_FACES, toys.SIDE_PX, toys.SIDE_PX, 3)
    for index, faces in enumerate(made):
        canvas = np.full((48, STEP * N_FACES, 3), 90, np.uint8)
        for k, pixels in enumerate(faces):
            canvas[8:40, STEP * k + 8 : STEP * k + 40] = pixels
        picture = picture_of(av.VideoFrame.from_ndarray(canvas, format="rgb24"), None)
        yield Frame("toy", index, 0, index, Fraction(1, 25), index / 25, None, "none", 0.0, picture)


def streamed(models: Models, frames: Iterator[Frame], config: Config, batch_sizes: Sequence[int]) -> dict[int, Track]:
    """Run frames through the pipeline in batches of these sizes, over and over; the tracks it made."""
    watching = Watching(models.embedder)
    head = WatchedHead(models.head)
    models = dataclasses.replace(models, embedder=cast(Embedder, watching), head=head)
    counters = Counters()
    context = StreamContext("toy", "r-1", "session", models.model_id, models.precision)
    actor = StreamActor(context, config.state, models.head.needs, counters)
    state = StreamState(Tracker(config.track), actor, counters)
    pipeline = Pipeline(models, config, StageTimes())
    seen: list[Observation] = []
    at = 0
    ended = False
    while not ended:
        batch: list[tuple[StreamState, Frame]] = []
        for _ in range(batch_sizes[at % len(batch_sizes)]):
            frame = next(frames, None)
            if frame is None:
                ended = True
                break
            if not seen and not batch:
                pipeline.prepare((frame.picture.width, frame.picture.height))
            batch.append((state, frame))
        at += 1
        if batch:
            seen += [one for _, made in pipeline.step(batch) for one in made if isinstance(one, Observation)]
    assert counters.dropped == {}
    assert len(seen) == len(watching.crops) == len(head.answers)
    columns = {
        "probs": np.stack(watching.probs),
        **{f"head/{name}": np.concatenate([getattr(one, name) for one in head.answers]) for name in ANSWERED},
    }
    rows: dict[int, list[int]] = defaultdict(list)
    for i, one in enumerate(seen):
        rows[one.track.number].append(i)
    return {
        number: Track(
            np.stack([watching.crops[i] for i in own]),
            {name: values[own] for name, values in columns.items()},
            [seen[i] for i in own],
        )
        for number, own in rows.items()
    }


def toy_models(folder: Path, precision: str, cache: Path) -> Models:
    """An exported toy behind a detector that costs nothing."""
    model = load_export(folder, precision=precision)
    head, network = load_head(folder / "head.json")
    others = "auto" if precision == "int8" else precision
    runner = open_runner(model, precision=precision, cache=cache)
    return Models(
        cast(Detector, SideBySide()),
        Embedder(runner, model.spec),
        model.spec,
        EngineHead(open_head(network, head, precision=others, cache=cache), head),
        f"{model.spec.model_id}+{head.model_id}",
        runner.precision,
        runner.device,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def quantised(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "windowed"
    shutil.copytree(exports("windowed"), folder)
    assert quantize_export(folder, toys.pictures(64, 72)[0], keep_anyway=True, n_repeats=1).written
    return folder


def same_bits(track: Track, side: EngineSide) -> None:
    """What was computed for a track is the offline evaluation of its crops, and what was said is that, rounded."""
    assert side.temperatures is not None
    offline = side.answers(track.crops, side.temperatures)
    for name, values in track.computed.items():
        assert values.tobytes() == offline[name].tobytes(), name
    for name in ANSWERED:
        said = np.array([getattr(one, name) for one in track.said])
        assert np.abs(said - offline[f"head/{name}"]).max() <= ROUNDING
    assert np.abs(np.array([one.bare.probs for one in track.said]) - offline["probs"]).max() <= ROUNDING


@pytest.mark.parametrize("batch_sizes", [(1,), (3, 5, 1, 8)], ids=["one by one", "in batches"])
@pytest.mark.parametrize("kind", KINDS)
def test_streaming_is_the_offline_evaluation_bit_for_bit(
    kind: str, batch_sizes: Sequence[int], exports: Exports, cache: Path
) -> None:
    folder = exports(kind)
    tracks = streamed(toy_models(folder, "fp32", cache), toy_frames(40), EVERY_FRAME, batch_sizes)
    assert [len(track.said) for track in tracks.values()] == [40, 40, 35]
    with open_side(f"{folder}@fp32", cache=cache) as side:
        assert isinstance(side, EngineSide)
        for track in tracks.values():
            same_bits(track, side)
            assert np.abs(track.computed["head/probs"] - track.computed["probs"]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_is_torch_within_a_thousandth(kind: str, exports: Exports, cache: Path) -> None:
    model = toys.trained(kind)
    tracks = streamed(toy_models(exports(kind), "fp32", cache), toy_frames(40), EVERY_FRAME, (4,))
    torch_side = TorchSide("torch", model.backbone, model.head)
    for track in tracks.values():
        wanted = torch_side.answers(track.crops, Temperatures(1.0, TEMPERATURE))
        for name, values in track.computed.items():
            assert np.abs(values - wanted[name]).max() < 1e-3, name
        assert {one.va_origin for one in track.said} == {"predicted"}
        # The order of frames matters to a model that looks back, so equality above is no accident.
        backwards = torch_side.answers(track.crops[::-1].copy(), Temperatures(1.0, TEMPERATURE))["head/probs"][::-1]
        assert (np.abs(backwards - wanted["head/probs"]).max() > 1e-2) == (kind != "image")


@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=needs_bf16), "int8"])
def test_coarser_precisions_stream_as_they_evaluate(precision: str, quantised: Path, cache: Path) -> None:
    models = toy_models(quantised, precision, cache)
    assert models.precision == precision
    tracks = streamed(models, toy_frames(24), EVERY_FRAME, (2, 5))
    with (
        open_side(f"{quantised}@{precision}", cache=cache) as side,
        open_side(f"{quantised}@fp32", cache=cache) as full,
    ):
        assert isinstance(side, EngineSide)
        assert side.temperatures is not None
        for track in tracks.values():
            same_bits(track, side)
            fp32 = full.answers(track.crops, side.temperatures)["head/probs"]
            assert 0 < np.abs(track.computed["head/probs"] - fp32).max() < 0.5


@pytest.mark.models
@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("kind", ["windowed", "recurrent"])
def test_a_real_clip_streams_as_its_crops_evaluate(kind: str, exports: Exports) -> None:
    folder = exports(kind)
    config = load(flags={"models.expression": str(folder), "models.precision": "fp32"})
    assert config.models.head == str(folder / "head.json")
    models = Models.open(config)
    source = Source("clip", str(fetch_sample()), "file", "archive")
    decoder = open_source(source, config.decode, SystemClock())
    try:
        tracks = streamed(models, iter(decoder), config, (8,))
    finally:
        decoder.close()
    longest = max(tracks.values(), key=lambda track: len(track.said))
    assert len(longest.said) > 100
    spec, head = load_export(folder).spec, load_head(folder / "head.json")[0]
    assert longest.said[0].model.endswith(f"+{spec.model_id}+{head.model_id}")
    with open_side(f"{folder}@fp32") as side:
        assert isinstance(side, EngineSide)
        for track in tracks.values():
            same_bits(track, side)
    model = toys.trained(kind)
    wanted = TorchSide("torch", model.backbone, model.head).answers(longest.crops, Temperatures(1.0, TEMPERATURE))
    assert np.abs(longest.computed["head/probs"] - wanted["head/probs"]).max() < 1e-3


def test_a_head_of_another_backbone_is_refused(exports: Exports) -> None:
    from engines.errors import WrongUse
    from engines.zoo import check_fit

    head = load_head(exports("image") / "head.json")[0]
    other: Any = msgspec.structs.replace(load_export(exports("image")).spec, n_features=5)
    with pytest.raises(WrongUse, match="reads 128 features"):
        check_fit(head, other)
