"""How many streams a worker holds: the largest number under which the simulated worker still keeps what is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from streamer.config import Config
from streamer.plan.fleet import FleetOutcome, WorkerKind, simulate
from streamer.plan.load import Bill, StreamLoad

LOST_ALLOWED = 0.001
"""Streams are held while fewer frames than this share are lost."""
MOST_STREAMS_A_CHILD = 256
"""Nobody asked a child to carry more: each stream is a decoder with a thread of its own."""


def holds(outcome: FleetOutcome, head_room: float) -> bool:
    """Whether so little is lost and at most that share of the cores is used."""
    return outcome.lost_share < LOST_ALLOWED and outcome.utilisation <= head_room


def most_streams(
    bill: Bill,
    load: StreamLoad,
    kind: WorkerKind,
    config: Config,
    head_rooms: Sequence[float] = (1.0,),
    *,
    duration_s: float = 30.0,
    seed: int = 0,
) -> list[int]:
    """For each head-room the largest number of such streams that one worker holds; 0 where not even one."""
    each = sum(bill.shares(load, batch=best_batch(bill)).values())
    known: dict[int, FleetOutcome] = {}

    def outcome(n: int) -> FleetOutcome:
        if n not in known:
            known[n] = simulate(bill, [[load] * n], kind, config, duration_s=duration_s, seed=seed, replicas=1)
        return known[n]

    found = []
    for head_room in head_rooms:
        most = min(MOST_STREAMS_A_CHILD * kind.n_children, math.ceil(kind.cores * head_room / each) + 2)
        found.append(largest(lambda n, head_room=head_room: holds(outcome(n), head_room), most))  # type: ignore[misc]
    return found


def best_batch(bill: Bill) -> int:
    """The batch at which a search, which costs most, is cheapest."""
    search = bill.costs.search
    return min(zip(search.item_s, search.batches, strict=True))[1]


def largest(good: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that is good, when all below a good one are; 0 where 1 is not."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low
