"""The TensorRT runner: lanes in turn, nothing built or allocated while it runs. The worker's engine on NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.cuda.devices import CudaDevice
from engines.runtime.cuda.frames import Border, FrameLayout, check_cut
from engines.runtime.forms import InputForm, check_head, check_inputs, head_outputs, input_size, padded_pieces
from engines.runtime.invariance import random_pictures, sizes_like_the_largest
from engines.runtime.protocol import FloatArray, InputArray
from engines.runtime.tensorrt_driver import Driver, Engine
from engines.runtime.tensorrt_lanes import Lane, PictureFeed, batches_in, plain_forms
from engines.runtime.tensorrt_plan import PlanRecord
from engines.spec import CropGeometry, HeadSpec, ModelSpec

LANES = 2
Load = Callable[[Path, PlanRecord, CudaDevice], tuple[Driver, Engine]]


class TensorRtRunner:
    """A `Runner`; opened by `open_image_model` and `open_temporal_head` of this module.

    `infer` cuts a call into prepared batches and puts them on the lanes in turn, so that copies of one run beside the
    network of another. `submit` and `collect` give the same to a caller who has something else to do meanwhile.
    """

    def __init__(
        self,
        driver: Driver,
        engine: Engine,
        *,
        name: str,
        precision: str,
        feed: PictureFeed | None,
        outputs: Mapping[str, str],
        batches: Sequence[int],
        lanes: int = LANES,
        graphs: bool = True,
        crop: CropGeometry | None = None,
    ) -> None:
        if missing := set(outputs.values()) - {port.name for port in engine.outputs}:
            raise EngineError(f"{name} has no output {', '.join(sorted(missing))}; its plan belongs to another model")
        self._driver, self._engine, self._name, self._precision = driver, engine, name, precision
        self._inputs: dict[str, InputForm] = feed.forms(engine) if feed else plain_forms(engine)
        self._outputs = dict(outputs)  # our name -> the plan's
        self._crop = crop
        self._batches = tuple(sorted(batches))
        self._lanes = [Lane(driver, engine, feed, batches, graphs=graphs) for _ in range(lanes)]
        self._next = 0
        self._held: dict[str, FloatArray] = {}
        for lane in self._lanes:
            lane.prepare(self._batches)

    @property
    def precision(self) -> str:
        return self._precision

    @property
    def device(self) -> str:
        return self._driver.name

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes in use here, smallest first."""
        return self._batches

    @property
    def n_free(self) -> int:
        """How many `submit`s may follow before a `collect`."""
        return sum(not lane.busy for lane in self._lanes)

    def settle(self, rows: Mapping[str, InputArray]) -> None:
        """Go on with those batch sizes alone that give the bits of the largest."""

        def exactly(given: Mapping[str, InputArray]) -> dict[str, FloatArray]:
            n = len(next(iter(given.values())))
            self._lanes[0].submit(given, 0, n, n)
            return self._named(self._lanes[0].collect())

        self._batches = sizes_like_the_largest(exactly, rows, self._batches)

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        self._refuse_closed()
        n = check_inputs(self._name, self._inputs, inputs)
        if self.n_free < len(self._lanes):
            raise EngineError(f"{self._name} has batches under way: collect them before the next infer")
        out = self._room(n)
        under_way: list[tuple[Lane, int, int]] = []

        def take() -> None:
            lane, start, stop = under_way.pop(0)
            for name, values in self._named(lane.collect()).items():
                out[name][start:stop] = values

        try:
            for piece in padded_pieces(n, self._batches):
                if len(under_way) == len(self._lanes):
                    take()
                lane = self._turn()
                lane.submit(inputs, piece.start, piece.stop, piece.batch)
                under_way.append((lane, piece.start, piece.stop))
            while under_way:
                take()
        except EngineError:
            for lane in self._lanes:
                lane.drain()
            raise
        return {name: values[:n] for name, values in out.items()}

    def submit(self, inputs: Mapping[str, InputArray]) -> Lane:
        """A batch of at most the largest prepared size is under way; give what is returned to `collect`."""
        self._refuse_closed()
        n = check_inputs(self._name, self._inputs, inputs)
        lane, batch = self._free_lane(n)
        lane.submit(inputs, 0, n, batch)
        return lane

    def submit_cuts(self, frame: NDArray[np.uint8], layout: FrameLayout, frame_to_crop: NDArray[np.float64]) -> Lane:
        """As `submit`, for a decoded frame and the maps (B,2,3) from its pixels to crops': the GPU cuts them."""
        self._refuse_closed()
        if self._crop is None:
            raise EngineError(f"{self._name} takes no crops: it is no expression model")
        check_cut(self._crop)
        lane, batch = self._free_lane(len(frame_to_crop))
        border: Border = self._crop.border
        lane.submit_cuts(frame, layout, frame_to_crop, border, batch)
        return lane

    def collect(self, lane: Lane) -> dict[str, FloatArray]:
        """Waits for what was submitted and answers as `infer`; valid until that lane's next batch."""
        self._refuse_closed()
        return self._named(lane.collect())

    def close(self) -> None:
        if not self._lanes:
            return
        for lane in self._lanes:
            lane.drain()
        self._lanes = []
        self._held = {}
        self._engine.close()
        self._driver.close()

    def _turn(self) -> Lane:
        lane = self._lanes[self._next]
        self._next = (self._next + 1) % len(self._lanes)
        return lane

    def _free_lane(self, n: int) -> tuple[Lane, int]:
        if not 1 <= n <= self._batches[-1]:
            raise EngineError(f"{self._name} takes 1 to {self._batches[-1]} rows at once, not {n}")
        if not self.n_free:
            raise EngineError(f"all {len(self._lanes)} lanes of {self._name} are under way: collect one first")
        lane = self._turn()
        while lane.busy:
            lane = self._turn()
        return lane, padded_pieces(n, self._batches)[0].batch

    def _named(self, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        return {name: values[inner] for name, inner in self._outputs.items()}

    def _room(self, n: int) -> dict[str, FloatArray]:
        ports = {port.name: port for port in self._engine.outputs}
        for name, inner in self._outputs.items():
            held = self._held.get(name)
            if held is None or len(held) < n:
                self._held[name] = np.empty((max(n, self._batches[-1]), *ports[inner].shape), np.float32)
        return self._held

    def _refuse_closed(self) -> None:
        if not self._lanes:
            raise EngineError(f"the runner of {self._name} is closed; open a new one")


def open_image_model(
    spec: ModelSpec,
    plan: Path,
    record: PlanRecord,
    device: CudaDevice,
    *,
    load: Load,
    input_size_wh: tuple[int, int] | None = None,
    lanes: int = LANES,
    graphs: bool = True,
) -> TensorRtRunner:
    """An image model's plan as a runner; `load` brings it onto the GPU."""
    width, height = input_size(spec, input_size_wh)
    profile = record.key.profile
    batches = batches_in(spec.prepared_batches, profile.min, profile.max)
    driver, engine = load(plan, record, device)
    runner = TensorRtRunner(
        driver,
        engine,
        name=spec.name,
        precision=record.key.precision,
        feed=PictureFeed(spec.normalisation, width, height),
        outputs={output.name: output.name for output in spec.outputs},
        batches=batches if spec.batch_invariant else batches[-1:],
        lanes=lanes,
        graphs=graphs,
        crop=spec.crop,
    )
    if len(runner.batches) > 1:
        runner.settle({"image": random_pictures(runner.batches[-1], height, width)})
    return runner


def open_temporal_head(
    spec: HeadSpec,
    plan: Path,
    record: PlanRecord,
    device: CudaDevice,
    *,
    load: Load,
    batches: Sequence[int],
    lanes: int = LANES,
    graphs: bool = True,
) -> TensorRtRunner:
    """A temporal head's plan as a runner."""
    profile = record.key.profile
    driver, engine = load(plan, record, device)
    forms = plain_forms(engine)
    outputs = head_outputs(forms, [port.name for port in engine.outputs])
    check_head(spec, forms, list(outputs))
    runner = TensorRtRunner(
        driver,
        engine,
        name=spec.name,
        precision=record.key.precision,
        feed=None,
        outputs=outputs,
        batches=batches_in(batches, profile.min, profile.max),
        lanes=lanes,
        graphs=graphs,
    )
    random = np.random.default_rng(7)
    most = runner.batches[-1]
    runner.settle({name: random.standard_normal((most, *form.shape), np.float32) for name, form in forms.items()})
    return runner
