"""Made-up streams: faces with features and answers but no pictures, for benchmarks of what is remembered."""

from __future__ import annotations

import numpy as np

from engines.spec import N_PROBS
from streamer.pipeline import StreamState
from streamer.state.head_batch import HeadBatch, HeadOutput
from streamer.types import Detections, Embedding, FaceObservation, FloatArray, FrameFaces

RATE_FPS = 25
_SIZE_WH = (1280, 720)
_STEP = 0.1
"""How far a feature moves from frame to frame, in its standard deviations: faces change slowly."""


class MadeUpFaces:
    """`n_faces` faces side by side, in view for good. Features look like a network's: half are zero, all move slowly.

    The numbers depend on `seed` alone.
    """

    def __init__(self, n_faces: int, n_features: int, hidden: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._n = n_faces
        self._hidden = hidden
        self._features = self._normal(n_features)
        self._logits = self._normal(N_PROBS)
        self._index = 0
        left = (np.arange(n_faces, dtype=np.float32) + 0.25) * _SIZE_WH[0] / n_faces
        width = _SIZE_WH[0] / n_faces / 2
        boxes = np.stack([left, np.full(n_faces, 200), left + width, np.full(n_faces, 200 + width)], axis=1)
        points = np.repeat(boxes[:, None, :2], 5, axis=1)
        self._detections = Detections(
            boxes.astype(np.float32), points.astype(np.float32), self._constant(0.9), self._constant(width)
        )

    def step(self, state: StreamState) -> None:
        """Take the stream on by one frame."""
        at_s = self._index / RATE_FPS
        update = state.tracker.update(self._detections, at_s)
        self._features = self._moved(self._features)
        self._logits = self._moved(self._logits)
        probs = np.exp(self._logits)
        probs /= probs.sum(axis=1, keepdims=True)
        faces = tuple(
            FaceObservation(face, Embedding(np.maximum(features, 0), row))
            for face, features, row in zip(update.faces, self._features, probs, strict=True)
        )
        frame = FrameFaces(0, self._index, self._index, at_s, None, "none", _SIZE_WH, faces, update.ended)
        pending = state.actor.observe(frame)
        state.actor.resolve(pending, self._answers(pending.inputs))
        self._index += 1
        state.next_index, state.media_time_s = self._index, at_s

    def _answers(self, batch: HeadBatch) -> HeadOutput:
        h = self._normal(self._hidden) if self._hidden else None
        return HeadOutput(batch.probs, None, None, h, h)

    def _moved(self, values: FloatArray) -> FloatArray:
        moved: FloatArray = (values * np.sqrt(1 - _STEP**2) + _STEP * self._normal(values.shape[1])).astype(np.float32)
        return moved

    def _normal(self, width: int) -> FloatArray:
        return self._rng.normal(size=(self._n, width)).astype(np.float32)

    def _constant(self, value: float) -> FloatArray:
        return np.full(self._n, value, np.float32)
