"""What one stream carries from frame to frame for its searches, gates and budget, and how a snapshot keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines.spec import N_PROBS
from streamer.errors import SnapshotRefused
from streamer.faces.chains import Chain
from streamer.faces.gates import Gate, Given, Look
from streamer.types import Detections, Embedding, UInt8Array

N_POINTS = 5


@dataclass(slots=True)
class Standing:
    """`scene` holds the last search, `faces` the last answer about each track, `analysed` the tracks chosen last.

    `chain` is where the stream is between two searches of whole pictures.
    """

    chain: Chain = field(default_factory=Chain)
    scene: Gate[Detections] = field(default_factory=Gate)
    faces: dict[int, Gate[Embedding]] = field(default_factory=dict)
    analysed: frozenset[int] = frozenset()

    def face(self, track: int) -> Gate[Embedding]:
        """The gate of a track."""
        return self.faces.setdefault(track, Gate())

    def forget(self, ended: Iterable[int]) -> None:
        """Those tracks are over."""
        for track in ended:
            self.faces.pop(track, None)

    def snapshot(self, *, exact: bool) -> dict[str, Any]:
        """Plain values and arrays for `restore`; empty where there is nothing to keep.

        Only an `exact` one holds what stands at the gates and in the chain: an archive must go on bit for bit. Whoever
        takes over a live stream asks anew, since nobody has looked meanwhile.
        """
        kept: dict[str, Any] = {}
        if self.analysed:
            kept["analysed"] = sorted(self.analysed)
        if not exact:
            return kept
        if self.chain.place is not None and self.chain.faces is not None:
            kept["chain"] = {"place": list(self.chain.place)} | _kept(self.chain.faces)
        if (last := self.scene.last) is not None and last.answer is not None:
            kept["scene"] = _look(last) | _kept(last.answer)
        faces = [
            _look(gate.last)
            | {
                "track": track,
                "features": gate.last.answer.features,
                "probs": gate.last.answer.probs,
                "valence": gate.last.answer.valence,
                "arousal": gate.last.answer.arousal,
            }
            for track, gate in self.faces.items()
            if gate.last is not None and gate.last.answer is not None
        ]
        return kept | ({"faces": faces} if faces else {})

    @staticmethod
    def restored(snapshot: Mapping[str, Any]) -> Standing:
        """What `snapshot` kept. Raises `SnapshotRefused` for what this program would not have written."""
        standing = Standing()
        try:
            standing.analysed = frozenset(int(track) for track in snapshot.get("analysed", ()))
            if (chain := snapshot.get("chain")) is not None:
                segment, width, height, cell = (int(value) for value in chain["place"])
                standing.chain = Chain((segment, width, height, cell), _detections(chain))
            if (scene := snapshot.get("scene")) is not None:
                standing.scene.last = _given(scene)
                standing.scene.last.answer = _detections(scene)
            for face in snapshot.get("faces", ()):
                last: Given[Embedding] = _given(face)
                last.answer = Embedding(
                    _floats(face["features"], -1),
                    _floats(face["probs"], N_PROBS),
                    _real(face["valence"]),
                    _real(face["arousal"]),
                )
                standing.faces[int(face["track"])] = Gate(last)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise SnapshotRefused(f"damaged snapshot of what stands: {error}") from error
        return standing


def _kept(found: Detections) -> dict[str, Any]:
    return {
        "boxes_xyxy": found.boxes_xyxy,
        "points_xy": found.points_xy,
        "scores": found.scores,
        "face_px": found.face_px,
    }


def _detections(kept: Mapping[str, Any]) -> Detections:
    n = len(_floats(kept["scores"], -1))
    return Detections(
        _floats(kept["boxes_xyxy"], n, 4),
        _floats(kept["points_xy"], n, N_POINTS, 2),
        _floats(kept["scores"], n),
        _floats(kept["face_px"], n),
    )


def _look(given: Given[Any]) -> dict[str, Any]:
    return {"at_s": given.at_s, "whole_wh": list(given.look.whole_wh), "cells": given.look.cells}


def _given(kept: Mapping[str, Any]) -> Given[Any]:
    width, height = kept["whole_wh"]
    at_s = float(kept["at_s"])
    cells: UInt8Array = np.asarray(kept["cells"])
    if cells.dtype != np.uint8 or cells.ndim not in (2, 3) or not math.isfinite(at_s):
        raise ValueError("a look that is none")
    return Given(Look((int(width), int(height)), cells), at_s)


def _floats(array: Any, *shape: int) -> np.ndarray:
    found = np.asarray(array)
    if found.dtype != np.float32 or not np.isfinite(found).all():
        raise ValueError("numbers that are none")
    return found.reshape(shape)


def _real(value: Any) -> float | None:
    return None if value is None else float(value)
