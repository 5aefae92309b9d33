"""The answer to "how many workers for so many cameras": figures as JSON, and as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from streamer.bus.protocol import Topic
from streamer.bus.topics import topics as bus_topics
from streamer.config import Config
from streamer.errors import UsageError
from streamer.plan.capacity import best_batch, most_streams
from streamer.plan.costs import Costs
from streamer.plan.fleet import FleetOutcome, WorkerKind, simulate
from streamer.plan.load import Bill, StreamLoad
from streamer.plan.traffic import of_stream, streams_by_partition, streams_by_worker

PARTITIONS = (64, 128, 256, 512, 1024)
"""What is suggested: the first of them with which no worker gets more than it holds."""
FEW_MORE = 1.1
"""So many times as many workers are added, before partitions are, until nobody has more than it holds."""
MANY_MORE = 2.0
"""The same where partitions are given: few and heavy ones want many workers more."""


@dataclass(frozen=True, slots=True)
class Question:
    """`n_streams` of one kind on workers of one kind, each of which is to use at most `head_room` of its cores.

    `partitions` None asks for a suggestion. Whole frames are searched every `interval_s` (0: each).
    """

    n_streams: int
    load: StreamLoad
    kind: WorkerKind
    head_room: float = 0.7
    interval_s: float = 0.0
    partitions: int | None = None
    duration_s: float = 30.0
    seed: int = 0


def answer(question: Question, costs: Costs, config: Config) -> dict[str, Any]:
    """All figures. Raises `UsageError` where one worker holds not even one such stream, or costs are missing."""
    load, kind = question.load, question.kind
    if question.interval_s > 0 and costs.refine is None:
        raise UsageError(
            "these costs know nothing of refining between searches: measure them again, or plan with --interval 0"
        )
    bill = Bill(costs, question.interval_s)
    held, planned = most_streams(
        bill, load, kind, config, (1.0, question.head_room), duration_s=question.duration_s, seed=question.seed
    )
    if not planned:
        raise UsageError(
            f"one worker of {kind.cores} cores holds not even one such stream at {question.head_room:g} of its cores: "
            "ask for a lower --sample-fps, --fps or --size, or for more --cores"
        )
    n_workers, partitions, spread = _spread(question, planned)
    outcome = simulate(
        bill,
        [[load] * n for n in spread if n],
        kind,
        config,
        duration_s=question.duration_s,
        seed=question.seed,
    )
    batch = max(1, min(best_batch(bill), round(outcome.batch_frames)))
    shares = bill.shares(load, batch=batch)
    return {
        "bench": "plan",
        "measured": {"date": costs.date, "machine": costs.machine, "models": costs.models, "clip": costs.clip},
        "question": asdict(question),
        "stream": {
            "cores": sum(shares.values()),
            "cores_by_stage": shares,
            "batch": batch,
            "cores_at_batch_1": sum(bill.shares(load).values()),
        },
        "core": {
            "streams_by_arithmetic": 1 / sum(bill.shares(load, batch=best_batch(bill)).values()),
            "streams_held": held / kind.cores,
            "streams_planned": planned / kind.cores,
        },
        "worker": {
            "cores": kind.cores,
            "children": kind.n_children,
            "streams_held": held,
            "streams_planned": planned,
            "streams_fullest": max(spread),
            "memory_bytes": _memory(costs, kind, max(spread)),
        },
        "workers": n_workers,
        "simulated": _simulated(outcome),
        "bus": _bus(question, costs, config, partitions, max(spread)),
        "settings": {"fleet.max_streams": planned, "topics.partitions": partitions},
        "notes": _notes(question, costs, config, planned),
    }


def _spread(question: Question, planned: int) -> tuple[int, int, list[int]]:
    """Workers, partitions, and how many streams each worker then has."""
    least = math.ceil(question.n_streams / planned)
    choices = PARTITIONS if question.partitions is None else (question.partitions,)
    most = math.ceil((FEW_MORE if question.partitions is None else MANY_MORE) * least)
    for partitions in choices:
        for n_workers in range(least, min(most, partitions) + 1):
            spread = streams_by_worker(streams_by_partition(question.n_streams, partitions), n_workers)
            if spread[0] <= planned:
                return n_workers, partitions, spread
    raise UsageError(
        f"{question.n_streams} streams in {choices[-1]} partitions cannot be shared out to workers of {planned} "
        "streams each: ask for more --partitions or for larger workers"
    )


def _memory(costs: Costs, kind: WorkerKind, n_streams: int) -> float:
    memory = costs.memory
    return memory.supervisor_bytes + kind.n_children * memory.child_bytes + n_streams * memory.stream_bytes


def _simulated(outcome: FleetOutcome) -> dict[str, Any]:
    return {
        "seconds": outcome.seconds,
        "cpu_s_per_s": outcome.cpu_s_per_s,
        "utilisation": outcome.utilisation,
        "busiest_child": outcome.fullest,
        "busiest_loop": outcome.loop_utilisation,
        "analysed_fps": outcome.analysed_fps,
        "lost_share": outcome.lost_share,
        "dropped_per_s": outcome.dropped_per_s,
        "batch_frames": outcome.batch_frames,
        "ready_p50_s": outcome.ready_s(0.5),
        "ready_p99_s": outcome.ready_s(0.99),
        "sent_p50_s": outcome.sent_s(0.5),
        "sent_p99_s": outcome.sent_s(0.99),
    }


def _bus(question: Question, costs: Costs, config: Config, partitions: int, fullest_worker: int) -> dict[str, Any]:
    each = of_stream(question.load, costs.records, config)
    streams = streams_by_partition(question.n_streams, partitions)
    fullest = max(streams.values())
    topics = {
        name: {
            "records_per_s": question.n_streams * one.records_per_s,
            "bytes_per_s": question.n_streams * one.bytes_per_s,
            "bytes_per_s_mean_partition": question.n_streams * one.bytes_per_s / partitions,
            "bytes_per_s_fullest_partition": fullest * one.bytes_per_s,
        }
        for name, one in each.items()
    }
    kept = sum(
        question.n_streams * each[topic.name.partition(".")[2]].bytes_per_s * (topic.retention_s or 0.0)
        for topic in _kept_by_age(config)
    )
    return {
        "partitions": partitions,
        "streams_fullest_partition": fullest,
        "topics": topics,
        "records_per_s": sum(one["records_per_s"] for one in topics.values()),
        "bytes_per_s": sum(one["bytes_per_s"] for one in topics.values()),
        "snapshot_bytes_per_s": topics["state"]["bytes_per_s"],
        "snapshot_bytes_per_s_worker": fullest_worker * each["state"].bytes_per_s,
        "kept_bytes": kept * config.topics.replication_factor,
    }


def _kept_by_age(config: Config) -> tuple[Topic, ...]:
    names = bus_topics(msgspec.structs.replace(config.topics, prefix="affect"))
    return names.observations, names.windows, names.tracks


def _notes(question: Question, costs: Costs, config: Config, planned: int) -> list[str]:
    """What a reader of the figures must know."""
    load, notes = question.load, []
    if (load.width, load.height) != (costs.width, costs.height):
        notes.append(
            f"decoding was measured at {costs.width}x{costs.height} and is taken to grow with the number of pixels; "
            "measure at the size itself for better figures"
        )
    if question.kind.cores != costs.cores:
        notes.append(
            f"costs are of a machine with {costs.cores} cores; cores of another kind, or many more of them at one "
            "memory, cost otherwise"
        )
    per_child = math.ceil(planned / question.kind.n_children)
    snapshots = per_child * of_stream(load, costs.records, config)["state"].bytes_per_s
    if snapshots > config.checkpoint.live_bytes_per_s:
        notes.append(
            f"a child would write {snapshots / 1e6:.1f} MB/s of snapshots and may write "
            f"{config.checkpoint.live_bytes_per_s / 1e6:g} (checkpoint.live_bytes_per_s): they will be rarer"
        )
    return notes


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    asked, stream, worker = result["question"], result["stream"], result["worker"]
    load, core, simulated, bus = asked["load"], result["core"], result["simulated"], result["bus"]
    machine = result["measured"]["machine"]
    rate = f"{load['fps']:g} frames/s"
    if load["sample_fps"] is not None:
        rate += f", {load['sample_fps']:g} analysed"
    search = f"searched every {asked['interval_s']:g} s" if asked["interval_s"] else "every frame searched"
    stages = ", ".join(
        f"{name} {share / stream['cores']:.0%}"
        for name, share in sorted(stream["cores_by_stage"].items(), key=lambda one: -one[1])
        if share >= 0.005 * stream["cores"]
    )
    rows: Sequence[tuple[str, str]] = (
        ("streams", f"{asked['n_streams']} of {load['width']}x{load['height']}, {rate}, {_faces(load['faces'])}"),
        ("costs of", f"{machine.get('cpu', '?')}, {machine.get('cores', '?')} cores, {search}"),
        ("a stream", f"{stream['cores']:.4f} cores: {stages}"),
        (
            "a core",
            f"{core['streams_planned']:.1f} streams at {asked['head_room']:g} of its time; holds "
            f"{core['streams_held']:.1f} with < 0.1 % drops ({core['streams_by_arithmetic']:.1f} by arithmetic)",
        ),
        (
            "a worker",
            f"{worker['streams_planned']} streams ({worker['children']} children on {worker['cores']} cores), "
            f"{worker['memory_bytes'] / 2**30:.2f} GiB",
        ),
        ("workers", f"{result['workers']}, the fullest has {worker['streams_fullest']}"),
        (
            "simulated",
            f"{simulated['utilisation']:.2f} of the cores used, {simulated['lost_share']:.3%} lost, batches of "
            f"{simulated['batch_frames']:.1f}; frame to result p50 {_ms(simulated['ready_p50_s'])}, p99 "
            f"{_ms(simulated['ready_p99_s'])}; to acknowledged p99 {_ms(simulated['sent_p99_s'])}",
        ),
        (
            "bus",
            f"{bus['records_per_s']:.0f} records/s, {_rate(bus['bytes_per_s'])}, of it snapshots "
            f"{_rate(bus['snapshot_bytes_per_s'])}; {bus['kept_bytes'] / 1e9:.1f} GB kept",
        ),
    )
    lines = [f"{name:10} {text}" for name, text in rows]
    lines.append(f"{'topic':14} {'records/s':>10} {'bytes/s':>12} {'a partition':>12} {'the fullest':>12}")
    lines += [
        f"  {name:12} {one['records_per_s']:10.1f} {one['bytes_per_s']:12.0f} "
        f"{one['bytes_per_s_mean_partition']:12.0f} {one['bytes_per_s_fullest_partition']:12.0f}"
        for name, one in bus["topics"].items()
    ]
    lines.append("settings   " + ", ".join(f"{name}: {value}" for name, value in result["settings"].items()))
    lines += [f"note       {note}" for note in result["notes"]]
    return "\n".join(lines)


def _faces(mean: float) -> str:
    return f"{mean:g} face{'' if mean == 1 else 's'} a frame"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:.2f} MB/s"
