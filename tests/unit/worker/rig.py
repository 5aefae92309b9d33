"""Models that cost nothing, and a child's loop on real decoders, a real bus and a real pipe."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.spec import EXPRESSIONS, CropGeometry, ModelSpec, Normalisation, Provenance
from streamer.bus.open import open_bus
from streamer.bus.read import drain
from streamer.bus.topics import topics
from streamer.clock import Clock
from streamer.config import CheckpointSettings, Config, DecodeSettings, DetectSettings
from streamer.decode import Decoder, DecoderInfo, open_source
from streamer.faces.detect import Detected, Detector
from streamer.faces.embed import Embedded, Embedder
from streamer.messages import Mode
from streamer.pipeline import Models
from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.source import Source
from streamer.state.heads import PassthroughHead, TemporalHead
from streamer.types import Counters, Detections, DropCause, Embedding, Frame
from streamer.worker.link import Ended, FromChild, Link, LinkClosed, Open, Start
from streamer.worker.loop import Loop

FAILING_WIDTH = 66
"""The detector fails at pictures of this width."""
NAN_LEVEL = 250
"""The embedder answers NaN for crops as bright as this."""

SPEC = ModelSpec(
    name="made-up",
    version="1",
    role="expression",
    inputs=(),
    outputs=(),
    sha256="0" * 64,
    normalisation=Normalisation(colour="rgb", layout="nchw", mean=(0, 0, 0), std=(1, 1, 1)),
    provenance=Provenance(licence="none", origin="here", trained_on="nothing"),
    crop=CropGeometry(kind="box", width=8, height=8),
    class_order=EXPRESSIONS,
    n_features=3,
)


@dataclass
class SomeFaces:
    """A detector that sees `n` faces side by side in every picture, and in a square one that fills its middle."""

    n: int = 1
    calls: int = 0
    squares: int = 0
    settings = DetectSettings()
    colour = "rgb"

    def prepare(self, width: int, height: int) -> None:
        pass

    def detect_each(self, pictures: Sequence[Picture]) -> Detected:
        self.calls += 1
        causes: list[DropCause | None] = [
            "engine_error" if picture.width == FAILING_WIDTH else None for picture in pictures
        ]
        found = [
            self._faces(picture) if cause is None else Detections.none()
            for picture, cause in zip(pictures, causes, strict=True)
        ]
        return Detected(found, causes)

    def search(self, shape: tuple[int, int], images: Sequence[NDArray[np.uint8]]) -> list[Detections | DropCause]:
        self.squares += len(images)
        low, high = 0.25 * shape[0], 0.75 * shape[0]
        points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.4, 0.8], [0.6, 0.8]], np.float32)
        found = Detections(
            np.array([[low, low, high, high]], np.float32),
            (low + points * (high - low)).astype(np.float32)[None],
            np.array([0.8], np.float32),
            np.array([high - low], np.float32),
        )
        return [found if self.n else Detections.none() for _ in images]

    def _faces(self, picture: Picture) -> Detections:
        if self.n == 0:
            return Detections.none()
        w, h = picture.width / self.n, picture.height
        boxes = np.array([[(i + 0.2) * w, 0.2 * h, (i + 0.8) * w, 0.8 * h] for i in range(self.n)], np.float32)
        points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.4, 0.8], [0.6, 0.8]], np.float32)
        sizes = boxes[:, 2:] - boxes[:, :2]
        at = boxes[:, None, :2] + points * sizes[:, None]
        return Detections(boxes, at.astype(np.float32), np.full(self.n, 0.9, np.float32), sizes.min(axis=1))


class ByBrightness:
    """An embedder whose answer depends on a crop's pixels alone."""

    def embed(self, crops: NDArray[np.uint8]) -> Embedded:
        embeddings: list[Embedding | None] = []
        causes: list[DropCause | None] = []
        for crop in crops:
            level = crop.astype(np.float64).mean(axis=(0, 1))
            if level.max() >= NAN_LEVEL:
                embeddings.append(None)
                causes.append("not_finite")
                continue
            powers = np.exp(np.sin(level.sum() + np.arange(7)))
            embeddings.append(Embedding(level.astype(np.float32), (powers / powers.sum()).astype(np.float32)))
            causes.append(None)
        return Embedded(embeddings, causes)


def models(detector: SomeFaces | None = None, head: TemporalHead | None = None) -> Models:
    return Models(
        cast(Detector, detector or SomeFaces()),
        cast(Embedder, ByBrightness()),
        SPEC,
        head or PassthroughHead(),
        "made-up@1",
        "fp32",
        "none",
    )


def frame(stream: str, index: int, level: int = 100, width: int = 64) -> Frame:
    """A grey picture, so that `level` decides what the embedder says."""
    pixels = np.full((48, width, 3), level, np.uint8)
    picture = picture_of(av.VideoFrame.from_ndarray(pixels, format="rgb24"), None)
    return Frame(stream, index, 0, index, Fraction(1, 25), index / 25, None, "none", 0.0, picture)


def video_source(path: Path, stream: str = "video", mode: Mode = "archive") -> Source:
    return Source(stream, str(path), "file", mode)


def config_for(folder: Path, **checkpoint: float) -> Config:
    """A bus of its own in `folder`."""
    settings = msgspec.convert({"archive_interval_s": 0.05} | checkpoint, CheckpointSettings)
    config = Config(bus=f"sqlite:///{folder / 'bus.db'}", checkpoint=settings)
    bus = open_bus(config.bus)
    bus.ensure_topics(topics(config.topics).all())
    bus.close()
    return config


class Running:
    """A loop on a thread of its own. Call `said` for its messages and `end` for how it ended."""

    def __init__(self, config: Config, models_: Models, run: str | None = None) -> None:
        down, up = os.pipe()
        self.heard: list[FromChild] = []
        self.error: BaseException | None = None
        self._down = os.fdopen(down, "rb")
        self._null = Path(os.devnull).open("rb")  # noqa: SIM115  (open as long as the loop runs)
        self._up = Link(self._null, os.fdopen(up, "wb"))
        start = Start(child=0, config=config, run=run, live_run="live-run")
        self.loop = Loop(start, self._up, models_)
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._run)]
        for thread in self._threads:
            thread.start()

    def open(self, source: Source, restarts: int = 0) -> None:
        self.loop.tell(Open.of(source, restarts))

    def wait_for(self, kind: type[FromChild], n: int = 1, timeout_s: float = 20.0) -> None:
        """Until `n` messages of the kind came, or the loop is over."""
        deadline_s = time.monotonic() + timeout_s
        while sum(isinstance(one, kind) for one in self.heard) < n and self._threads[1].is_alive():
            assert time.monotonic() < deadline_s, f"no {kind.__name__} in {timeout_s} s, but {self.heard}"
            time.sleep(0.005)

    def end(self, timeout_s: float = 20.0) -> list[FromChild]:
        """What it said, after its end."""
        self._threads[1].join(timeout_s)
        assert not self._threads[1].is_alive(), f"the loop did not end in {timeout_s} s; it said {self.heard}"
        self._up.close()
        self._threads[0].join(timeout_s)
        self._down.close()
        return self.heard

    def ended(self) -> list[Ended]:
        """The ends it has told of so far."""
        return [one for one in self.heard if isinstance(one, Ended)]

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:
            self.error = error

    def _listen(self) -> None:
        link = Link(self._down, self._null)
        try:
            while True:
                self.heard.append(link.receive(FromChild))  # type: ignore[arg-type]
        except LinkClosed:
            return


def result_bytes(config: Config, stream: str = "video") -> list[tuple[str, bytes]]:
    """Every archive result of the stream, by topic and in order."""
    bus = open_bus(config.bus, create=False)
    names = topics(config.topics)
    try:
        return [
            (topic.name, message.value)
            for topic in (names.archive_observations, names.archive_windows, names.archive_tracks)
            for message in drain(bus, [topic.name])
            if message.value is not None and message.key == stream.encode()
        ]
    finally:
        bus.close()


@dataclass
class Breaking:
    """A real decoder that raises after `n_frames`. Made to stand in for `open_source`."""

    n_frames: int
    error: Exception
    opened: list[Decoder] = field(default_factory=list)

    def __call__(self, source: Source, settings: DecodeSettings, clock: Clock, *more: Any) -> BreakingDecoder:
        self.opened.append(open_source(source, settings, clock, *more))
        return BreakingDecoder(self.opened[-1], self)


@dataclass
class BreakingDecoder:
    decoder: Decoder
    plan: Breaking
    keyframes_only: bool = False

    @property
    def beat_s(self) -> float:
        return self.decoder.beat_s

    @property
    def info(self) -> DecoderInfo:
        return self.decoder.info

    @property
    def counters(self) -> Counters:
        return self.decoder.counters

    @property
    def reorder_delay_s(self) -> float:
        return self.decoder.reorder_delay_s

    def join_at(self, media_time_s: float) -> None:
        self.decoder.join_at(media_time_s)

    def interrupt(self) -> None:
        self.decoder.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        for n, one in enumerate(self.decoder):
            if n == self.plan.n_frames:
                break
            yield one
        raise self.plan.error

    def __enter__(self) -> BreakingDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.decoder.close()
