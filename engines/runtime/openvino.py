"""The CPU runner: OpenVINO, one inference thread, normalisation inside the network, nothing compiled while running."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineError
from engines.runtime.background import BACKGROUND
from engines.runtime.compiled import CompiledNetwork, core, openvino, read_network
from engines.runtime.forms import InputForm, check_head, check_inputs, head_inputs, head_outputs, input_size
from engines.runtime.invariance import random_pictures
from engines.runtime.preparation import Preparation
from engines.runtime.protocol import FloatArray, InputArray
from engines.spec import HeadSpec, ModelSpec
from engines.zoo.cache import cache_folder


class OpenVinoRunner:
    """A `Runner`; opened by `engines.runtime.open_runner` and `open_head`.

    A batch is cut into the prepared sizes, largest first. Where 1 is among them nothing is ever padded; where the
    model runs at one fixed size, the rest of the last piece is zero. Outputs are memory of this runner.
    More sizes can be added while it runs: since all give the same bits, that shows in nothing but speed.
    """

    def __init__(
        self,
        networks: Sequence[CompiledNetwork],
        inputs: Mapping[str, InputForm],
        outputs: Mapping[str, str],
        name: str,
    ) -> None:
        self._networks = sorted(networks, key=lambda network: -network.batch)
        self._inputs = dict(inputs)
        self._outputs = dict(outputs)  # our name -> the network's
        self._name = name
        self._joined: dict[str, FloatArray] = {}
        self._adding = threading.Lock()
        self._closed = False
        self._precision = self._networks[0].real_precision()
        self._device = str(core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
        if missing := set(outputs.values()) - set(self._networks[0].output_names):
            raise EngineError(f"{name} has no output {', '.join(sorted(missing))}; its file belongs to another model")

    @property
    def precision(self) -> str:
        return self._precision

    @property
    def device(self) -> str:
        return self._device

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes in use here, smallest first."""
        return tuple(network.batch for network in reversed(self._networks))

    def add_later(self, batches: Sequence[int], make: Callable[[int], CompiledNetwork]) -> None:
        """Have more sizes made in the background, and use each from the call on that follows."""
        for batch in batches:
            BACKGROUND.do(partial(self._add, batch, make))

    def _add(self, batch: int, make: Callable[[int], CompiledNetwork]) -> None:
        if self._closed:
            return
        network = make(batch)
        with self._adding:
            if not self._closed:
                self._networks = sorted([*self._networks, network], key=lambda one: -one.batch)

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        if self._closed:
            raise EngineError(f"the runner of {self._name} is closed; open a new one")
        n = check_inputs(self._name, self._inputs, inputs)
        try:
            pieces = self._pieces(n)
            if len(pieces) == 1:
                network, start, stop = pieces[0]
                values = network.run(inputs, start, stop)
                return {name: values[inner][: stop - start] for name, inner in self._outputs.items()}
            return self._join(inputs, pieces, n)
        except RuntimeError as error:
            raise EngineError(f"{self._name} failed on a batch of {n}: {error}") from error

    def close(self) -> None:
        with self._adding:
            self._closed = True
            self._networks = []
        self._joined = {}

    def _pieces(self, n: int) -> list[tuple[CompiledNetwork, int, int]]:
        networks = self._networks
        pieces = []
        start = 0
        while start < n:
            network = next((one for one in networks if one.batch <= n - start), networks[-1])
            stop = min(n, start + network.batch)
            pieces.append((network, start, stop))
            start = stop
        return pieces

    def _join(
        self, inputs: Mapping[str, InputArray], pieces: Sequence[tuple[CompiledNetwork, int, int]], n: int
    ) -> dict[str, FloatArray]:
        if not pieces:
            empty = self._networks[-1].run({k: np.zeros((1, *f.shape), f.dtype) for k, f in self._inputs.items()}, 0, 1)
            return {name: empty[inner][:0].copy() for name, inner in self._outputs.items()}
        for network, start, stop in pieces:
            values = network.run(inputs, start, stop)
            for name, inner in self._outputs.items():
                held = self._joined.get(name)
                if held is None or len(held) < n:
                    grown = np.empty((n, *values[inner].shape[1:]), np.float32)
                    if held is not None:
                        grown[: len(held)] = held
                    held = self._joined[name] = grown
                held[start:stop] = values[inner][: stop - start]
        return {name: self._joined[name][:n] for name in self._outputs}


def open_image_model(
    spec: ModelSpec,
    path: Path,
    *,
    precision: str = "auto",
    input_size_wh: tuple[int, int] | None = None,
    cache: Path | None = None,
    at_once: bool = True,
) -> OpenVinoRunner:
    """See `engines.runtime.open_runner`."""
    width, height = input_size(spec, input_size_wh)
    if spec.normalisation.colour == "grey":
        raise EngineError(f"{spec.name}: fold the grey conversion into the network; runners take colour pictures")

    def build(batch: int) -> Any:
        return _with_preparation(read_network(path), spec, batch, width, height)

    form = InputForm((height, width, 3), np.dtype("uint8"))
    told = json.dumps([_plain(spec.normalisation), width, height])
    plan = Preparation(spec.name, path, precision, told, {"image": form}, build, cache_folder(cache) / "compiled")
    later: Sequence[int] = ()
    if not spec.batch_invariant:
        networks = [plan.network(spec.prepared_batches[-1])]
    else:
        networks, later = plan.invariant_networks(
            spec.prepared_batches, lambda n: {"image": random_pictures(n, height, width)}, at_once=at_once
        )
    runner = OpenVinoRunner(networks, plan.inputs, {output.name: output.name for output in spec.outputs}, spec.name)
    runner.add_later(later, plan.network)
    return runner


def open_temporal_head(
    spec: HeadSpec, path: Path, *, precision: str, batches: tuple[int, ...], cache: Path | None, at_once: bool = True
) -> OpenVinoRunner:
    """See `engines.runtime.open_head`."""
    declared = read_network(path)
    shapes = {
        port.any_name: [axis.get_length() if axis.is_static else -1 for axis in port.get_partial_shape()]
        for port in declared.inputs
    }
    inputs = head_inputs(spec, path, shapes)
    outputs = head_outputs(inputs, [port.any_name for port in declared.outputs])
    check_head(spec, inputs, list(outputs))

    def build(batch: int) -> Any:
        network = read_network(path)
        network.reshape({name: [batch, *form.shape] for name, form in inputs.items()})
        return network

    def rows(n: int) -> dict[str, InputArray]:
        random = [np.random.default_rng((7, i)) for i in range(n)]
        return {
            name: np.stack([r.standard_normal(form.shape, np.float32) for r in random]) for name, form in inputs.items()
        }

    plan = Preparation(spec.name, path, precision, "head", inputs, build, cache_folder(cache) / "compiled")
    networks, later = plan.invariant_networks(batches, rows, at_once=at_once)
    runner = OpenVinoRunner(networks, inputs, outputs, spec.name)
    runner.add_later(later, plan.network)
    return runner


def _with_preparation(network: Any, spec: ModelSpec, batch: int, width: int, height: int) -> Any:
    """Let the network take (B,H,W,3) uint8 and normalise it itself."""
    from openvino.preprocess import PrePostProcessor

    engine = openvino()
    nchw = spec.normalisation.layout == "nchw"
    network.reshape([batch, 3, height, width] if nchw else [batch, height, width, 3])
    steps = PrePostProcessor(network)
    entry = steps.input()
    entry.tensor().set_element_type(engine.Type.u8).set_layout(engine.Layout("NHWC"))
    entry.model().set_layout(engine.Layout("NCHW" if nchw else "NHWC"))
    floats = entry.preprocess().convert_element_type(engine.Type.f32)
    if any(value != 0.0 for value in spec.normalisation.mean):
        floats.mean(list(spec.normalisation.mean))
    if any(value != 1.0 for value in spec.normalisation.std):
        floats.scale(list(spec.normalisation.std))
    return steps.build()


def _plain(normalisation: Any) -> dict[str, Any]:
    return {field: getattr(normalisation, field) for field in normalisation.__struct_fields__}
