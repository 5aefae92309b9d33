"""Made-up faces, streams and heads for the tests of the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.spec import ContextName, HeadSpec
from streamer.config import StateSettings
from streamer.messages import Record, encode
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput, infer_all
from streamer.state.heads import TemporalHead
from streamer.state.records import StreamContext
from streamer.types import Counters, Embedding, FaceObservation, FloatArray, FrameFaces, Mode, Quality, TrackedFace

D = 3
CONTEXT: tuple[ContextName, ...] = ("gap_s", "detector_score", "face_px", "roll_deg", "yaw_deg")


def context(mode: Mode = "archive", epoch: int = 0, session: str = "sha-of-the-file", **more: str) -> StreamContext:
    base = {"stream": "lobby", "run": "r-1", "model": "net@1#00000000", "precision": "fp32"} | more
    return StreamContext(session=session, mode=mode, epoch=epoch, epoch_time_s=1.7e9 if epoch else None, **base)


def actor_for(
    head: TemporalHead, window: int = 4, context_: StreamContext | None = None, counters: Counters | None = None
) -> StreamActor:
    return StreamActor(context_ or context(), StateSettings(window=window), head.needs, counters or Counters())


def probs_of(rng: np.random.Generator) -> FloatArray:
    logits = rng.normal(scale=2.0, size=7)
    weights = np.exp(logits - logits.max())
    probs: FloatArray = (weights / weights.sum()).astype(np.float32)
    return probs


def one_hot(index: int) -> FloatArray:
    return np.array([float(i == index) for i in range(7)], np.float32)


def face(
    track: int,
    probs: FloatArray,
    features: FloatArray | None = None,
    quality: Quality = "ok",
    valence: float | None = None,
    arousal: float | None = None,
) -> FaceObservation:
    box = np.array([64, 36, 192, 216], np.float32)
    return FaceObservation(
        TrackedFace(track, box, np.zeros((5, 2), np.float32), 0.875, 48.0),
        Embedding(np.zeros(D, np.float32) if features is None else features, probs, valence, arousal),
        quality,
        () if quality == "ok" else ("small",),
        roll_deg=3.5,
        yaw_deg=-12.25,
    )


def frame(index: int, faces: Sequence[FaceObservation] = (), ended: Sequence[int] = (), segment: int = 0) -> FrameFaces:
    return FrameFaces(
        segment, index * 512, index, index / 25, None, "container", (640, 360), tuple(faces), tuple(ended)
    )


def step(actor: StreamActor, head: TemporalHead, seen: FrameFaces) -> list[Record]:
    pending = actor.observe(seen)
    return actor.resolve(pending, head.infer_all([pending.inputs])[0])


def bytes_of(records: Sequence[Record]) -> list[bytes]:
    return [encode(record) for record in records]


@dataclass
class ArithmeticHead:
    """A small recurrent head in numpy: reads everything there is, and sums each row by itself (no BLAS)."""

    needs: HeadNeeds
    seed: int = 3
    spec: HeadSpec | None = None

    def infer(self, batch: HeadBatch) -> HeadOutput:
        read = (batch.probs, batch.features, batch.stat, batch.block, batch.h, batch.c, batch.context)
        parts = [part.reshape(len(batch), -1) for part in read if part is not None]
        x = np.concatenate(parts, axis=1)
        logits = self._dense(x, 7, 0)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs = weights / weights.sum(axis=1, keepdims=True)
        va = np.tanh(self._dense(x, 2, 1))
        h = c = None
        if batch.h is not None and batch.c is not None:
            c = np.float32(0.9) * batch.c + np.tanh(self._dense(x, self.needs.hidden, 2))
            h = np.tanh(c)
        return HeadOutput(probs, va[:, 0], va[:, 1], h, c)

    def infer_all(self, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
        return infer_all(self.infer, batches)

    def _dense(self, x: FloatArray, n_out: int, layer: int) -> FloatArray:
        weights: NDArray[np.float32] = (
            np.random.default_rng((self.seed, layer)).normal(size=(n_out, x.shape[1])).astype(np.float32)
        )
        out: FloatArray = np.stack([(row * weights).sum(axis=1) for row in x])
        return out


def everything_head(window: int = 5, hidden: int = 4) -> ArithmeticHead:
    return ArithmeticHead(HeadNeeds("min_max_mean", True, window, D, hidden, context=CONTEXT))


def random_scene(seed: int, n_frames: int, n_faces: int = 3) -> list[FrameFaces]:
    """Faces that come, go, blink out of the picture and are sometimes of low quality."""
    rng = np.random.default_rng(seed)
    alive: list[int] = []
    born = 0
    frames: list[FrameFaces] = []
    for index in range(n_frames):
        ended = [number for number in alive if rng.random() < 0.08]
        alive = [number for number in alive if number not in ended]
        while len(alive) < n_faces and rng.random() < 0.3:
            alive.append(born)
            born += 1
        seen = [
            face(
                number,
                probs_of(rng),
                rng.normal(size=D).astype(np.float32),
                quality="low" if rng.random() < 0.2 else "ok",
            )
            for number in alive
            if rng.random() < 0.85
        ]
        frames.append(frame(index, seen, ended))
    return frames
