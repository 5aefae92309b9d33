"""Lanes: a stream each, with its own buffers, so that one lane's copies run while another computes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.cuda.frames import Border, FrameLayout, crop_maps, normalising
from engines.runtime.cuda.kernels import grid_of
from engines.runtime.forms import InputForm
from engines.runtime.protocol import FloatArray, InputArray
from engines.runtime.tensorrt_driver import Array, Context, Driver, Engine
from engines.spec import Normalisation

_KIND = {np.dtype("float32"): "float", np.dtype("float16"): "half"}


@dataclass(frozen=True)
class PictureFeed:
    """uint8 pictures (B,H,W,3) come in and a kernel writes what the network reads of them."""

    normalisation: Normalisation
    width: int
    height: int

    def forms(self, engine: Engine) -> dict[str, InputForm]:
        """What the runner takes; `EngineError` when the plan is not one of such a picture."""
        (port,) = engine.inputs if len(engine.inputs) == 1 else (None,)
        if port is None or port.shape != (3, self.height, self.width) or port.dtype not in _KIND:
            found = ", ".join(f"{one.name} {one.dtype} {one.shape}" for one in engine.inputs)
            raise EngineError(f"the plan reads {found}, not pictures of {self.width}x{self.height}: build it again")
        return {"image": InputForm((self.height, self.width, 3), np.dtype("uint8"))}


def plain_forms(engine: Engine) -> dict[str, InputForm]:
    """The inputs of an engine that is fed as it is."""
    return {port.name: InputForm(port.shape, port.dtype) for port in engine.inputs}


class Lane:
    """Owns a stream, pinned and device buffers for `max(batches)` rows, and a context (with graphs, one a batch).

    One batch is under way at a time: `submit`, then `collect`.
    """

    def __init__(
        self, driver: Driver, engine: Engine, feed: PictureFeed | None, batches: Sequence[int], *, graphs: bool
    ) -> None:
        self._driver, self._engine, self._feed, self._graphs_wanted = driver, engine, feed, graphs
        self.most = max(batches)
        self._stream = driver.stream()
        forms = feed.forms(engine) if feed else plain_forms(engine)
        self._host_in = {name: driver.pinned((self.most, *form.shape), form.dtype) for name, form in forms.items()}
        self._host_out = {port.name: driver.pinned((self.most, *port.shape), port.dtype) for port in engine.outputs}
        self._device = {
            port.name: driver.allocate(port.n_bytes(self.most)) for port in (*engine.inputs, *engine.outputs)
        }
        self._raw = {}
        if feed is not None:
            image = self._host_in["image"]
            self._raw["image"] = driver.allocate(image.nbytes)
            self._form = self._constant(normalising(feed.normalisation))
        self._contexts: dict[int, Context] = {}
        self._graphs: dict[int, Callable[[], None]] = {}
        self._event: Hashable | None = None
        self._rows = 0
        self._frame: tuple[Array, int] | None = None
        self._tables: dict[str, tuple[Array, int]] = {}

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._event is not None

    def prepare(self, batches: Sequence[int]) -> None:
        """Run every batch size once, and record its graph: nothing is made ready on the hot path."""
        for batch in batches:
            self._enqueue(batch)
            self._driver.wait(self._driver.mark(self._stream))
            if self._graphs_wanted and batch not in self._graphs:
                graph = self._driver.capture(self._stream, functools.partial(self._enqueue, batch))
                if graph is not None:
                    self._graphs[batch] = graph

    def submit(self, inputs: Mapping[str, InputArray], start: int, stop: int, batch: int) -> None:
        """Rows `start:stop`, padded by zeros to `batch`, are under way when this returns."""
        assert not self.busy, "collect first: the buffers are in use"
        rows = stop - start
        for name, held in self._host_in.items():
            held[:rows] = inputs[name][start:stop]
            held[rows:batch] = 0
        graph = self._graphs.get(batch)
        if graph is not None:
            graph()
        else:
            self._enqueue(batch)
        self._rows, self._event = rows, self._driver.mark(self._stream)

    def submit_cuts(
        self,
        frame: NDArray[np.uint8],
        layout: FrameLayout,
        frame_to_crop: NDArray[np.float64],
        border: Border,
        batch: int,
    ) -> None:
        """As `submit`, for crops that the GPU cuts out of a frame by itself: affine maps (n,2,3), n <= `batch`."""
        assert not self.busy, "collect first: the buffers are in use"
        feed = self._feed
        if feed is None:
            raise EngineError("only an image model's runner cuts crops out of frames")
        if frame.dtype != np.uint8 or frame.size < layout.n_bytes:
            raise EngineError(f"the frame has {frame.size} {frame.dtype} samples, its layout {layout.n_bytes} bytes")
        maps = np.zeros((batch, 2, 6), np.float32)
        maps[: len(frame_to_crop)] = crop_maps(frame_to_crop, layout)
        order: Literal["rgb", "bgr"] = "bgr" if feed.normalisation.colour == "bgr" else "rgb"
        addresses = [
            self._upload_frame(frame.reshape(-1)[: layout.n_bytes]),
            self._upload("parts", layout.table()),
            self._upload("maps", maps),
            self._upload("colour", layout.colour(order)),
            self._upload("form", normalising(feed.normalisation, layout.black)),
        ]
        (port,) = self._engine.inputs
        self._driver.launch(
            f"cut_crops_{_KIND[port.dtype]}",
            grid_of(feed.width, feed.height, batch),
            (*addresses, self._device[port.name], feed.width, feed.height, int(border == "replicate")),
            self._stream,
        )
        self._enqueue_network(batch)
        self._rows, self._event = len(frame_to_crop), self._driver.mark(self._stream)

    def collect(self) -> dict[str, FloatArray]:
        """The rows' answers by the plan's names, in this lane's own memory: good until its next `submit`."""
        assert self._event is not None, "submit first"
        event, self._event = self._event, None
        self._driver.wait(event)
        return {name: held[: self._rows] for name, held in self._host_out.items()}

    def drain(self) -> None:
        """Let go of what is under way, and of what a failed `submit` left on the stream; errors have been told."""
        self._event = None
        with contextlib.suppress(EngineError):
            self._driver.wait(self._driver.mark(self._stream))

    def _enqueue(self, batch: int) -> None:
        for name, held in self._host_in.items():
            self._driver.to_device(self._raw.get(name, self._device.get(name, 0)), held[:batch], self._stream)
        if self._feed is not None:
            (port,) = self._engine.inputs
            self._driver.launch(
                f"normalise_crops_{_KIND[port.dtype]}",
                grid_of(self._feed.width, self._feed.height, batch),
                (self._raw["image"], self._form, self._device[port.name], self._feed.width, self._feed.height),
                self._stream,
            )
        self._enqueue_network(batch)

    def _enqueue_network(self, batch: int) -> None:
        self._context(batch).enqueue(self._stream)
        for port in self._engine.outputs:
            self._driver.to_host(self._host_out[port.name][:batch], self._device[port.name], self._stream)

    def _context(self, batch: int) -> Context:
        """Its own for every batch where graphs are recorded: a graph holds to the state of the context it came from."""
        key = batch if self._graphs_wanted else 0
        if key not in self._contexts:
            context = self._engine.context()
            for name, address in self._device.items():
                context.bind(name, address)
            if self._graphs_wanted:
                context.resize(batch)
            self._contexts[key] = context
        if not self._graphs_wanted:
            self._contexts[key].resize(batch)
        return self._contexts[key]

    def _constant(self, values: Array) -> int:
        held = self._driver.pinned(values.shape, values.dtype)
        held[:] = values
        address = self._driver.allocate(values.nbytes)
        self._driver.to_device(address, held, self._stream)
        self._driver.wait(self._driver.mark(self._stream))
        return address

    def _upload(self, name: str, values: Array) -> int:
        if name not in self._tables:
            room = (self.most, *values.shape[1:]) if name == "maps" else values.shape
            held = self._driver.pinned(room, values.dtype)
            self._tables[name] = (held, self._driver.allocate(held.nbytes))
        held, address = self._tables[name]
        held[: len(values)] = values
        self._driver.to_device(address, held[: len(values)], self._stream)
        return address

    def _upload_frame(self, frame: NDArray[np.uint8]) -> int:
        if self._frame is None or self._frame[0].size < frame.size:
            if self._frame is not None:
                self._driver.free(self._frame[1])
            self._frame = (self._driver.pinned((frame.size,), np.dtype("uint8")), self._driver.allocate(frame.size))
        held, address = self._frame
        held[: frame.size] = frame
        self._driver.to_device(address, held[: frame.size], self._stream)
        return address


def batches_in(prepared: Sequence[int], least: int, most: int) -> tuple[int, ...]:
    """Those of the prepared batch sizes that a plan's profile takes; its largest where it takes none of them."""
    return tuple(sorted({batch for batch in prepared if least <= batch <= most})) or (most,)
