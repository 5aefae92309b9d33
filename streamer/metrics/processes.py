"""What child processes take of the machine, looked at when somebody scrapes: nobody pays for it in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Pids = Mapping[int, Sequence[int]]


class ChildProcesses(Collector):
    """CPU time and memory by child. `pids` gives the processes of each child, by its number; any thread may call it.

    The CPU time of a child whose process was replaced goes on from what was last seen of the earlier one.
    """

    def __init__(self, pids: Callable[[], Pids] = dict) -> None:
        self.pids = pids
        self._lock = threading.Lock()
        self._seen_s: dict[int, dict[int, float]] = {}
        self._gone_s: dict[int, float] = {}

    def collect(self) -> Iterator[Metric]:
        """As the registry asks for it."""
        cpu = CounterMetricFamily(
            "streamer_child_cpu_seconds", "CPU time of a child and its helpers.", labels=["child"]
        )
        memory = GaugeMetricFamily(
            "streamer_child_resident_memory_bytes", "Memory of a child and its helpers.", labels=["child"]
        )
        with self._lock:
            for child, pids in sorted(self.pids().items()):
                seconds, n_bytes = self._look(child, pids)
                cpu.add_metric([str(child)], seconds)
                if n_bytes:
                    memory.add_metric([str(child)], n_bytes)
        yield cpu
        yield memory

    def _look(self, child: int, pids: Sequence[int]) -> tuple[float, int]:
        import psutil  # at the first scrape: a run that nobody scrapes does without

        seen, n_bytes = self._seen_s.setdefault(child, {}), 0
        for pid in [one for one in seen if one not in pids]:
            self._gone_s[child] = self._gone_s.get(child, 0.0) + seen.pop(pid)
        for pid in pids:
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    times, used = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue  # it has just ended: what was seen of it stays
            seen[pid] = max(seen.get(pid, 0.0), times.user + times.system)
            n_bytes += used
        return self._gone_s.get(child, 0.0) + sum(seen.values()), n_bytes
