"""Histograms of what was counted elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streamer.counting import Counted, total


class CountedHistogram(Collector):
    """A histogram for each combination of label values. Filled by one thread, read by any."""

    def __init__(self, name: str, says: str, bounds: Sequence[float], labels: tuple[str, ...] = ()) -> None:
        self._name = name
        self._says = says
        self._labels = labels
        self._bounds = [*map(str, bounds[:-1]), "+Inf"]
        self._lock = threading.Lock()
        self._children: dict[tuple[str, ...], Counted] = {}

    def add(self, more: Counted, *labels: str) -> None:
        """Add observations; none make the histogram known all the same."""
        with self._lock:
            known = self._children.get(labels, Counted((0,) * len(self._bounds)))
            self._children[labels] = total((known, more))

    def remove_by_labels(self, labels: Mapping[str, str]) -> None:
        """Nothing more is told of those with these values, as `prometheus_client` has it for its own metrics."""
        at = {self._labels.index(name): value for name, value in labels.items()}
        with self._lock:
            for values in [v for v in self._children if all(v[k] == value for k, value in at.items())]:
                del self._children[values]

    def collect(self) -> Iterator[Metric]:
        """As the registry asks for them."""
        family = HistogramMetricFamily(self._name, self._says, labels=self._labels)
        with self._lock:
            for values, counted in self._children.items():
                cumulative = list(zip(self._bounds, map(float, accumulate(counted.counts)), strict=True))
                family.add_metric(values, cumulative, counted.sum)
        yield family
