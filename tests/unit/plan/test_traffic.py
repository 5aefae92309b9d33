from __future__ import annotations

from collections import Counter

import pytest

from streamer.bus.assignment import Candidate, share_out
from streamer.config import Config
from streamer.plan.load import StreamLoad
from streamer.plan.traffic import TRACK_S, of_stream, streams_by_partition, streams_by_worker
from tests.unit.plan.examples import BARE


def test_what_a_stream_writes() -> None:
    found = of_stream(StreamLoad(25.0, 640, 360, faces=2.0, sample_fps=8.0), BARE.records, Config())
    assert (found["observations"].records_per_s, found["observations"].bytes_per_s) == (16.0, 1600.0)
    assert (found["windows"].records_per_s, found["windows"].bytes_per_s) == (1.0, 80.0)
    assert found["tracks"].records_per_s == pytest.approx(4 / TRACK_S)
    assert (found["status"].records_per_s, found["status"].bytes_per_s) == (1.0, 40.0)
    assert found["state"].records_per_s == pytest.approx(3 / 5)
    assert found["state"].bytes_per_s == pytest.approx((500 + 2 * 1000) / 5)


def test_every_stream_has_a_partition() -> None:
    streams = streams_by_partition(1000, 64)
    assert sum(streams.values()) == 1000
    assert set(streams) <= set(range(64))


@pytest.mark.parametrize(("n_streams", "n_partitions", "n_workers"), [(1000, 64, 28), (1000, 256, 28), (300, 64, 7)])
def test_the_fleet_gives_no_worker_more_than_this_says(n_streams: int, n_partitions: int, n_workers: int) -> None:
    streams = streams_by_partition(n_streams, n_partitions)
    ours = streams_by_worker(streams, n_workers)
    capacity = -(-n_streams // n_workers)
    members = [Candidate(f"w{k}", capacity) for k in range(n_workers)]
    weights = {partition: (float(streams[partition]), 0.0) for partition in range(n_partitions)}
    fleet = share_out(range(n_partitions), members, weights)
    fullest = max(sum(streams[partition] for partition in mine) for mine in fleet.values())
    assert 0 <= ours[0] - fullest <= 0.15 * capacity
    assert sum(ours) == n_streams


def test_heavy_partitions_cannot_be_divided() -> None:
    assert streams_by_worker(Counter({0: 9, 1: 1, 2: 1}), 2) == [9, 2]
