"""What streams write to the bus: records and bytes a second, by topic, by partition, and where partitions go."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from streamer.bus.topics import partition_of
from streamer.config import Config
from streamer.plan.costs import RecordBytes
from streamer.plan.load import StreamLoad

TRACK_S = 30.0
"""How long a face is assumed to stay: it costs a record when it comes and one when it leaves."""
STATUS_PER_S = 1.0
"""Each stream says every second that it lives."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one topic, each second."""

    records_per_s: float
    bytes_per_s: float


def of_stream(load: StreamLoad, records: RecordBytes, config: Config) -> dict[str, Traffic]:
    """What one live stream writes, by topic (without its prefix).

    Bytes are those of keys, values and headers; a broker adds about ten to a record and 61 to a batch of them.
    `state` holds a checkpoint of the stream and one of each face in view every `checkpoint.live_interval_s`.
    """
    observed = load.analysed_fps * load.faces
    blocks = observed / config.state.window
    comings = 2 * load.faces / TRACK_S
    snapshots = 1 / config.checkpoint.live_interval_s
    state_bytes = records.stream_snapshot + load.faces * records.track_snapshot
    return {
        "observations": Traffic(observed, observed * records.observation),
        "windows": Traffic(blocks, blocks * records.window),
        "tracks": Traffic(comings, comings * records.track),
        "status": Traffic(STATUS_PER_S, STATUS_PER_S * records.status),
        "state": Traffic(snapshots * (1 + load.faces), snapshots * state_bytes),
    }


def streams_by_partition(n_streams: int, n_partitions: int) -> Counter[int]:
    """How many of `n_streams` lie in each partition, by the hash that places them; partitions without any are left out.

    Ids are made up (`camera-0`, ...): others fall elsewhere, and as unevenly.
    """
    return Counter(partition_of(f"camera-{number}", n_partitions) for number in range(n_streams))


def streams_by_worker(streams: Mapping[int, int], n_workers: int) -> list[int]:
    """How many streams each worker gets with its partitions, the fullest first.

    The heaviest partition goes to the worker that has least: so the fleet's own policy begins too
    (`streamer/bus/assignment.py`), which then goes on to make loads more even: no worker gets more than this says.
    """
    loads = [(0, number) for number in range(n_workers)]
    for _, n in sorted(streams.items(), key=lambda one: (-one[1], one[0])):
        least, number = heapq.heappop(loads)
        heapq.heappush(loads, (least + n, number))
    return sorted((n for n, _ in loads), reverse=True)
