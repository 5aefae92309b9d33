"""The CPU runner: OpenVINO, one inference thread, normalisation inside the network, nothing compiled while running."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineError
from engines.runtime.compiled import CompiledNetwork, core, openvino, read_network
from engines.runtime.invariance import random_pictures
from engines.runtime.preparation import InputForm, Preparation
from engines.runtime.protocol import FloatArray, InputArray
from engines.spec import N_PROBS, HeadSpec, ModelSpec, stat_size
from engines.zoo.cache import cache_folder


class OpenVinoRunner:
    """A `Runner`; opened by `engines.runtime.open_runner` and `open_head`.

    A batch is cut into the prepared sizes, largest first. Where 1 is among them nothing is ever padded; where the
    model runs at one fixed size, the rest of the last piece is zero. Outputs are memory of this runner.
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

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        if not self._networks:
            raise EngineError(f"the runner of {self._name} is closed; open a new one")
        n = self._check(inputs)
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
        self._networks = []
        self._joined = {}

    def _check(self, inputs: Mapping[str, InputArray]) -> int:
        if inputs.keys() != self._inputs.keys():
            raise EngineError(f"{self._name} takes {sorted(self._inputs)}, not {sorted(inputs)}")
        counts = set()
        for name, form in self._inputs.items():
            array = inputs[name]
            if array.dtype != form.dtype or array.shape[1:] != form.shape or array.ndim != len(form.shape) + 1:
                wanted = ",".join(map(str, ("B", *form.shape)))
                raise EngineError(
                    f"{self._name} takes {name} as {form.dtype} ({wanted}), not {array.dtype} {array.shape}"
                )
            counts.add(array.shape[0])
        if len(counts) != 1:
            raise EngineError(f"{self._name} was given inputs of different lengths: {sorted(counts)}")
        return int(counts.pop())

    def _pieces(self, n: int) -> list[tuple[CompiledNetwork, int, int]]:
        pieces = []
        start = 0
        while start < n:
            network = next((one for one in self._networks if one.batch <= n - start), self._networks[-1])
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
) -> OpenVinoRunner:
    """See `engines.runtime.open_runner`."""
    width, height = _input_size(spec, input_size_wh)
    if spec.normalisation.colour == "grey":
        raise EngineError(f"{spec.name}: fold the grey conversion into the network; runners take colour pictures")

    def build(batch: int) -> Any:
        return _with_preparation(read_network(path), spec, batch, width, height)

    form = InputForm((height, width, 3), np.dtype("uint8"))
    told = json.dumps([_plain(spec.normalisation), width, height])
    plan = Preparation(spec.name, path, precision, told, {"image": form}, build, cache_folder(cache) / "compiled")
    if not spec.batch_invariant:
        networks = [plan.network(spec.prepared_batches[-1])]
    else:
        networks = plan.invariant_networks(
            spec.prepared_batches, lambda n: {"image": random_pictures(n, height, width)}
        )
    return OpenVinoRunner(networks, plan.inputs, {output.name: output.name for output in spec.outputs}, spec.name)


def open_temporal_head(
    spec: HeadSpec, path: Path, *, precision: str, batches: tuple[int, ...], cache: Path | None
) -> OpenVinoRunner:
    """See `engines.runtime.open_head`."""
    declared = read_network(path)
    inputs = {}
    for port in declared.inputs:
        axes = [axis.get_length() if axis.is_static else -1 for axis in port.get_partial_shape()][1:]
        if -1 in axes:
            raise EngineError(f"{spec.name}: input {port.any_name} of {path} has a dynamic axis besides the batch")
        inputs[port.any_name] = InputForm(tuple(axes), np.dtype("float32"))
    outputs = {}
    for port in declared.outputs:
        bare = port.any_name.removesuffix("_out")
        outputs[bare if bare in inputs else port.any_name] = port.any_name
    _check_head(spec, inputs, list(outputs))

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
    networks = plan.invariant_networks(batches, rows)
    return OpenVinoRunner(networks, inputs, outputs, spec.name)


def _input_size(spec: ModelSpec, input_size_wh: tuple[int, int] | None) -> tuple[int, int]:
    if spec.crop is not None:
        own = (spec.crop.width, spec.crop.height)
        if input_size_wh not in (None, own):
            raise EngineError(f"{spec.name} takes crops of {own[0]}x{own[1]} px, not {input_size_wh}")
        return own
    if input_size_wh is None:
        raise EngineError(f"{spec.name} runs at any size: give input_size_wh")
    if any(side < 1 or side % spec.input_multiple for side in input_size_wh):
        raise EngineError(
            f"{spec.name} needs sides that are multiples of {spec.input_multiple} px, not {input_size_wh}"
        )
    return input_size_wh


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


def _check_head(spec: HeadSpec, inputs: Mapping[str, InputForm], outputs: Sequence[str]) -> None:
    wanted: dict[str, tuple[int, ...]] = {"probs": (N_PROBS,)}
    if spec.n_features:
        wanted["features"] = (spec.n_features,)
    if spec.stat != "none":
        wanted["stat"] = (stat_size(spec.stat, spec.n_features),)
    if spec.windowed:
        wanted["block"] = (spec.window, N_PROBS)
    if spec.context:
        wanted["context"] = (len(spec.context),)
    if spec.hidden:
        wanted |= {"h": (spec.hidden,), "c": (spec.hidden,)}
    found = {name: form.shape for name, form in inputs.items()}
    if found != wanted:
        raise EngineError(f"head {spec.name}: its HeadSpec needs inputs {wanted}, the network has {found}")
    needed = {"probs"} | ({"h", "c"} if spec.hidden else set())
    if missing := needed - set(outputs):
        raise EngineError(f"head {spec.name}: the network lacks the outputs {', '.join(sorted(missing))}")


def _plain(normalisation: Any) -> dict[str, Any]:
    return {field: getattr(normalisation, field) for field in normalisation.__struct_fields__}
