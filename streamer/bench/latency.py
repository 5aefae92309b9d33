"""How long a live frame takes from the arrival of its packet to the acknowledgement of its records, stage by stage.

On the embedded bus and, where there is one, on a real broker: in turn, so that a machine that slows down does so for
both. Acknowledgements are looked for every 5 ms, as the product does it.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamer.bench.broker import Broker
from streamer.bench.load import HEIGHT_PX, Plan, camera_file, check, hold
from streamer.bench.marks import STAGES
from streamer.bench.record import header
from streamer.bus.kafka_options import KafkaOptions
from streamer.config import Config
from streamer.errors import StreamerError

ALLOWED_S = 0.150
Percentiles = dict[str, float]


def run(
    clip: Path,
    config: Config,
    plan: Plan,
    *,
    repeats: int = 3,
    broker: Broker | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Every bus `repeats` times in turn; medians. `good` is that the p99 of each is at most `ALLOWED_S`."""
    check(plan)
    rounds: dict[str, list[dict[str, Any]]] = {bus: [] for bus in ("sqlite", "kafka") if bus == "sqlite" or broker}
    with tempfile.TemporaryDirectory(prefix="affect-streamer-latency-") as place:
        folder = Path(place)
        shown = camera_file(clip, folder, plan)
        for number in range(repeats):
            for bus, held in rounds.items():
                run_folder = folder / f"{bus}-{number}"
                run_folder.mkdir()
                held.append(hold(shown, config, plan, run_folder, broker=broker if bus == "kafka" else None))
                if not held[-1]["latency_s"]:
                    raise StreamerError("no frame gave a record: choose a clip with a face")
                p99_ms = 1000 * held[-1]["latency_s"]["p99"]
                tell(f"round {number + 1} of {repeats}, {bus}: p99 {p99_ms:.0f} ms")
    buses = {bus: medians(held) for bus, held in rounds.items()}
    return {
        **header("latency"),
        "clip": {"name": clip.name, "height_px": HEIGHT_PX, "b_frames": False},
        "models": msgspec.to_builtins(config.models),
        "source": plan.source,
        "streams": plan.n_streams,
        "fps": plan.fps,
        "measured_s": plan.measure_s,
        "linger_s": config.checkpoint.live_flush_s,
        "client_linger_s": {"kafka": KafkaOptions(()).linger_ms / 1000} if broker is not None else {},
        "batch_wait_s": config.batch.max_wait_s,
        "allowed_s": ALLOWED_S,
        "good": all(one["latency_s"]["p99"] <= ALLOWED_S for one in buses.values()),
        "buses": buses,
        "rounds": rounds,
    }


def medians(held: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The middle of each figure over the rounds; `p99_s_each` are the single ones."""

    def middle(of: Callable[[Mapping[str, Any]], float]) -> float:
        return statistics.median(of(one) for one in held)

    return {
        "latency_s": _middle([one["latency_s"] for one in held]),
        "stages_s": {stage: _middle([one["stages_s"][stage] for one in held]) for stage in STAGES},
        "p99_s_each": [one["latency_s"]["p99"] for one in held],
        "missing_share": middle(lambda one: one["missing_share"]),
        "frames_per_batch": middle(lambda one: one["frames_per_batch"]),
        "cpu_s_per_frame": middle(lambda one: one["cpu_s_per_frame"]),
        "publish_share": middle(lambda one: one["publish_share"]),
    }


def _middle(spreads: Sequence[Percentiles]) -> Percentiles:
    there = [one for one in spreads if one]
    return {key: statistics.median(one[key] for one in there) for key in there[0]} if there else {}
