"""One frame after another, as the streamer has them: nothing of what comes later is at hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engines.data.frames import AnnotatedFrames, UInt8Array
from engines.models import AffectModel, HeadOutput, rows_of, stat_of
from engines.runtime import Runner, offline
from engines.runtime.protocol import FloatArray, InputArray
from engines.spec import HeadSpec, ModelSpec
from engines.training.answers import AnswersOfVideos
from engines.training.features import network_input


class Steps(Protocol):
    """A model that is fed one picture at a time and remembers what it has to."""

    def begin(self) -> None:
        """A new video: forget everything."""

    def step(self, picture: UInt8Array) -> tuple[FloatArray, float | None, float | None]:
        """`probs` (7,), valence and arousal for the next picture (side,side,3) RGB of the video."""


def step_through(
    steps: Steps, frames: AnnotatedFrames, side_px: int, progress: Callable[[int, int], None]
) -> AnswersOfVideos:
    """The answers for every picture of a set, each given in its turn."""
    probs: list[FloatArray] = []
    valence: list[float | None] = []
    arousal: list[float | None] = []
    previous = -1
    for row, video in enumerate(frames.video.tolist()):
        if video != previous:
            steps.begin()
            previous = video
        for column, value in zip(
            (probs, valence, arousal), steps.step(frames.pictures.read(row, side_px)), strict=True
        ):
            column.append(value)  # type: ignore[attr-defined]
        progress(row + 1, len(frames))
    return AnswersOfVideos(np.stack(probs), _column(valence), _column(arousal))


def _column(values: list[float | None]) -> FloatArray | None:
    return None if not values or values[0] is None else np.array(values, np.float32)


class TorchSteps:
    """A model in torch, at batch 1, with its block and (h, c) carried from call to call."""

    def __init__(self, model: AffectModel, with_head: bool, device: str) -> None:
        self._model, self._with_head, self._device = model.eval(), with_head, device
        self.begin()

    def begin(self) -> None:
        """See `Steps`."""
        head = self._model.head
        self._features: deque[Tensor] = deque(maxlen=head.config.window)
        self._probs: deque[Tensor] = deque(maxlen=head.config.window)
        self._h = self._c = torch.zeros(1, head.hidden, device=self._device) if head.hidden else None

    @torch.no_grad()
    def step(self, picture: UInt8Array) -> tuple[FloatArray, float | None, float | None]:
        """See `Steps`."""
        model, config = self._model, self._model.config
        pictures = torch.from_numpy(picture).to(self._device)[None]
        seen = model.backbone(network_input(pictures, model.backbone))
        if not self._with_head:
            return _numpy(seen.probs), None, None
        n = 1 if self._probs else config.window  # the first observation stands for all that were not
        self._features.extend([seen.features] * n)
        self._probs.extend([seen.probs] * n)
        block = torch.stack(tuple(self._probs), 1)  # (1,s,7)
        rows = rows_of(torch.stack(tuple(self._features), 1), block, config.stat)
        output: HeadOutput = model.head(seen.features, seen.probs, stat_of(rows, config.stat), block, self._h, self._c)
        self._h, self._c = output.h, output.c
        return _numpy(output.probs), _number(output.valence), _number(output.arousal)


class EngineSteps:
    """An exported backbone and head in their engine, at batch 1, in the streamer's own arithmetic."""

    def __init__(self, backbone: Runner, spec: ModelSpec, head: Runner | None, head_spec: HeadSpec | None) -> None:
        self._backbone, self._spec, self._head, self._head_spec = backbone, spec, head, head_spec
        self.begin()

    def begin(self) -> None:
        """See `Steps`."""
        spec = self._head_spec
        self._rows: deque[FloatArray] = deque(maxlen=spec.window if spec else 1)
        self._blocks: deque[FloatArray] = deque(maxlen=spec.window if spec else 1)
        self._h = self._c = np.zeros((1, spec.hidden if spec else 0), np.float32)

    def step(self, picture: UInt8Array) -> tuple[FloatArray, float | None, float | None]:
        """See `Steps`."""
        spec = self._spec
        told = self._backbone.infer({"image": offline.coloured(picture[None], spec)})
        probs = offline.probabilities(told["logits"], spec.class_order, spec.calibration.temperature)
        if self._head is None or self._head_spec is None:
            return probs[0], None, None
        answer = self._head.infer(self._inputs(told["features"], probs, self._head_spec))
        if self._head_spec.hidden:
            self._h, self._c = answer["h"].copy(), answer["c"].copy()
        valence, arousal = (float(answer[name][0]) if name in answer else None for name in ("valence", "arousal"))
        return answer["probs"][0].copy(), valence, arousal

    def _inputs(self, features: FloatArray, probs: FloatArray, spec: HeadSpec) -> dict[str, InputArray]:
        inputs: dict[str, InputArray] = {"probs": probs}
        if spec.n_features:
            inputs["features"] = features.copy()
        n = 1 if self._blocks else spec.window
        self._blocks.extend([probs[0]] * n)
        if spec.stat != "none":
            with_features = spec.stat in ("mean", "min_max_mean")
            row = np.concatenate([features[0], probs[0]]) if with_features else probs[0]
            self._rows.extend([row] * n)
            inputs["stat"] = offline.stat_of(np.stack(self._rows)[None], spec.stat)
        if spec.windowed:
            inputs["block"] = np.stack(self._blocks)[None]
        if spec.hidden:
            inputs |= {"h": self._h, "c": self._c}
        return inputs


def _numpy(probs: Tensor) -> FloatArray:
    array: FloatArray = probs[0].float().cpu().numpy()
    return array


def _number(value: Tensor | None) -> float | None:
    return None if value is None else float(value.item())
