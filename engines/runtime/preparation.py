"""Which batch sizes a model may run at on this machine, proved once and remembered beside what was compiled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.runtime.compiled import CompiledNetwork, compile_or_restore, core, is_quantised, openvino, read_network
from engines.runtime.cpu import choose_precision, this_cpu
from engines.runtime.forms import InputForm
from engines.runtime.invariance import difference
from engines.runtime.protocol import FloatArray, InputArray
from engines.zoo.cache import sha256_of, write_atomically

FORMAT = "1"  # of the files under compiled/: part of every key


class Preparation:
    """How one model is compiled here: precision settled, keys made of all that the result depends on.

    `told` is whatever else `build` depends on, as text. Raises `EngineError` for a precision that cannot be had.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        precision: str,
        told: str,
        inputs: dict[str, InputForm],
        build: Callable[[int], Any],
        folder: Path,
    ) -> None:
        self.inputs = inputs
        self._build = build
        self._folder = folder
        cpu = this_cpu()
        can = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        quantised = precision == "int8" and is_quantised(read_network(path))
        self._precision = choose_precision(precision, engine_can=can, cpu=cpu, quantised=quantised)
        version = str(openvino().get_version())
        parts = [FORMAT, sha256_of(path), told, self._precision, version, cpu.fingerprint]
        self._key = f"{name}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:32]}"

    def network(self, batch: int) -> CompiledNetwork:
        """Compiled for `batch`, from the cache where it is there."""
        return compile_or_restore(
            f"{self._key}-b{batch}", batch, self._precision, lambda: self._build(batch), self._folder
        )

    def invariant_networks(
        self, batches: Sequence[int], make_rows: Callable[[int], Mapping[str, InputArray]], *, at_once: bool = True
    ) -> tuple[list[CompiledNetwork], list[int]]:
        """Batch 1, and of the other sizes those that give the very bits of batch 1 on this machine.

        The proof is made once per machine, model, size, precision and engine version, and remembered. Where it is, and
        not all sizes are wanted `at_once`, only batch 1 is opened; the others are named in the second answer.
        """
        note = self._folder / f"{self._key}.sizes.json"
        known = _remembered(note, batches)
        if known is not None:
            now = known if at_once else [1]
            return [self.network(batch) for batch in now], [batch for batch in known if batch not in now]
        one = self.network(1)
        rows = make_rows(max(batches))
        expected = [_copied(one.run(rows, i, i + 1)) for i in range(max(batches))]
        networks = [one]
        for batch in sorted(set(batches) - {1}):
            network = self.network(batch)
            if _same_bits(network, rows, expected):
                networks.append(network)
        told = {"asked": sorted(batches), "holds": [network.batch for network in networks]}
        try:
            write_atomically(note, json.dumps(told).encode())
        except OSError:
            pass  # proved again at the next start
        return networks, []


def _same_bits(
    network: CompiledNetwork, rows: Mapping[str, InputArray], expected: Sequence[Mapping[str, FloatArray]]
) -> bool:
    for order in (np.arange(network.batch), np.arange(network.batch)[::-1]):
        values = network.run({name: array[order] for name, array in rows.items()}, 0, network.batch)
        for slot, row in enumerate(order):
            for name, array in values.items():
                if difference(expected[row][name][0], array[slot]) != 0.0:
                    return False
    return True


def _copied(values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: array.copy() for name, array in values.items()}


def _remembered(note: Path, batches: Sequence[int]) -> list[int] | None:
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        holds = [int(batch) for batch in told["holds"]]
        return holds if told["asked"] == sorted(batches) and 1 in holds else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
