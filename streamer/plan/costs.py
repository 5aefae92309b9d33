"""What each stage costs on one kind of machine, in CPU seconds: measured once, kept as JSON, used by the simulator."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from engines.runtime.forms import padded_pieces
from streamer.errors import UsageError

COSTS_VERSION = 1


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """CPU seconds of one item by how many go through the network together: `item_s[k]` in a batch of `batches[k]`."""

    batches: tuple[int, ...]
    item_s: tuple[float, ...]

    def call_s(self, n: int) -> float:
        """CPU seconds of `n` items, cut and padded to the batches as the runners do it."""
        by_batch = dict(zip(self.batches, self.item_s, strict=True))
        return sum(piece.batch * by_batch[piece.batch] for piece in padded_pieces(n, self.batches))

    def best_s(self) -> float:
        """CPU seconds of one item at the best batch."""
        return min(self.item_s)


class RecordBytes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mean bytes of one record, key, value and headers together, by what it says."""

    observation: float
    window: float
    track: float
    status: float
    stream_snapshot: float
    track_snapshot: float


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of memory: what the supervisor takes, a child with its models, and each stream besides."""

    supervisor_bytes: float
    child_bytes: float
    stream_bytes: float


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of a machine. Seconds are CPU seconds of one core.

    Per frame of `width` x `height` pixels: `decode_s`, `resize_s` (only where the whole frame is searched) and
    `search`. Per face: `refine` (None where it was not measured), `align_s`, `embed`, and `face_s` for what of state,
    head and encoding is its own. `frame_s` is what else an analysed frame costs. `flush_s` is the cost of sending a
    batch of live records, `record_s` that of each record in it; after that they are acknowledged in `acknowledge_s`.
    `supervisor_s`, `child_s` and `stream_s` are spent each second by each of them, whatever comes.
    `faces` is how many faces a frame of the measured clip showed.
    """

    v: int = COSTS_VERSION
    date: str = ""
    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    models: dict[str, str] = {}
    clip: str = ""
    width: int
    height: int
    faces: float = 1.0
    decode_s: float
    resize_s: float
    search: Curve
    refine: Curve | None = None
    align_s: float
    embed: Curve
    frame_s: float
    face_s: float
    flush_s: float = 0.0
    record_s: float = 0.0
    acknowledge_s: float = 0.0
    supervisor_s: float = 0.0
    child_s: float = 0.0
    stream_s: float = 0.0
    records: RecordBytes
    memory: Memory

    @property
    def cores(self) -> int:
        """Cores of the machine that was measured."""
        return int(self.machine.get("cores", "1"))

    def scale_to(self, width: int, height: int) -> float:
        """What decoding and resizing a picture of this size costs, as a multiple of the measured size's.

        By the number of pixels, which is somewhat too much for larger pictures and too little for smaller ones.
        """
        return (width * height) / (self.width * self.height)


def read_costs(path: Path) -> Costs:
    """The costs in `path`. Raises `UsageError` where there are none, or they cannot be right."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the costs {path}: {error.strerror or error}; make them with --save") from error
    try:
        costs = msgspec.json.decode(content, type=Costs)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} holds no costs as `streamer plan --save` writes them: {error}") from error
    if reason := _wrong(costs):
        raise UsageError(f"{path}: {reason}; make it again with `streamer plan --save`")
    return costs


def write_costs(costs: Costs, path: Path) -> None:
    """Write them for `read_costs`. Raises `UsageError` where that cannot be."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another place with --save") from error


def _wrong(costs: Costs) -> str | None:
    """What cannot be right about them, in a few words."""
    if costs.v != COSTS_VERSION:
        return f"it is of version {costs.v}, and this program reads {COSTS_VERSION}"
    if costs.width < 1 or costs.height < 1:
        return "width and height are of a picture: at least 1"
    for name, curve in (("search", costs.search), ("refine", costs.refine), ("embed", costs.embed)):
        if curve is None:
            continue
        if not curve.batches or len(curve.batches) != len(curve.item_s):
            return f"{name} needs one cost for each batch"
        if sorted(set(curve.batches)) != list(curve.batches) or curve.batches[0] != 1:
            return f"the batches of {name} go up from 1"
    for name, value in _numbers(msgspec.to_builtins(costs)):
        if not math.isfinite(value) or value < 0:
            return f"{name} is {value:g}: a cost is a number from 0 on"
    if not costs.search.best_s() or not costs.embed.best_s():
        return "a search or an inference costs more than nothing"
    if not costs.machine.get("cores", "1").isdigit() or costs.cores < 1:
        return "machine.cores is how many there are: at least 1"
    return None


def _numbers(tree: Any, name: str = "") -> list[tuple[str, float]]:
    if isinstance(tree, dict):
        return [one for key, inner in tree.items() for one in _numbers(inner, f"{name}.{key}".lstrip("."))]
    if isinstance(tree, (list, tuple)):
        return [one for inner in tree for one in _numbers(inner, name)]
    return [(name, float(tree))] if isinstance(tree, (int, float)) else []
