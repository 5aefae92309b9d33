"""What processes take, looked at as somebody scrapes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from streamer.metrics import Metrics
from tests.unit.test_metrics import read

CPU, MEMORY = "streamer_child_cpu_seconds_total", "streamer_child_resident_memory_bytes"


def seen(metrics: Metrics, name: str) -> dict[str, float]:
    return {dict(labels)["child"]: value for (found, labels), value in read(metrics).items() if found == name}


def test_cpu_and_memory_are_those_of_the_processes() -> None:
    metrics = Metrics()
    metrics.processes.pids = lambda: {0: (os.getpid(),)}
    own = sum(os.times()[:2])
    assert seen(metrics, CPU)["0"] >= own - 0.05
    assert seen(metrics, MEMORY)["0"] > 10e6


def test_a_child_that_was_replaced_counts_on() -> None:
    metrics = Metrics()
    pids: dict[int, Sequence[int]] = {0: (os.getpid(),)}
    metrics.processes.pids = lambda: pids
    first = seen(metrics, CPU)["0"]
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        pids[0] = (process.pid,)
        assert seen(metrics, CPU)["0"] >= first
    finally:
        process.communicate(b"\n")
    assert seen(metrics, CPU)["0"] >= first  # it is gone: what was seen of it stays
    assert "0" not in seen(metrics, MEMORY)


def test_the_supervisor_itself_is_told_in_the_usual_names() -> None:
    names = {name for name, _ in read(Metrics())}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"} <= names
