"""How a metric is declared: registered, and described for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import Metric

from streamer.metrics.counted import CountedHistogram

Kind = Literal["counter", "gauge", "histogram"]
Where = Literal["run and worker", "worker"]
PREFIX = "streamer_"


@dataclass(frozen=True, slots=True)
class Described:
    """A metric for people who read of it. `name` is the one that a scrape has; a histogram's samples have endings."""

    section: str
    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    where: Where = "run and worker"

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind == "histogram":
            return tuple(self.name + ending for ending in ("_bucket", "_sum", "_count"))
        return (self.name,)


class Declaring:
    """Declares metrics in one registry. `by` maps a label to the metrics that have it."""

    def __init__(self) -> None:
        self.registry = _WithoutBirthdays()
        self.described: list[Described] = []
        self._labelled: dict[str, list[Counter | Gauge | CountedHistogram]] = {}

    def section(self, name: str, where: Where = "run and worker") -> Section:
        """What follows is of this part."""
        return Section(self, name, where)

    def forget(self, label: str, value: str) -> None:
        """Nothing more is told of what has this value of the label."""
        for metric in self._labelled.get(label, ()):
            metric.remove_by_labels({label: value})

    def add(self, described: Described, metric: Counter | Gauge | CountedHistogram) -> None:
        """Take in a metric."""
        self.described.append(described)
        for label in described.labels:
            self._labelled.setdefault(label, []).append(metric)


class Section:
    """Declares the metrics of one part of the process."""

    def __init__(self, declaring: Declaring, name: str, where: Where) -> None:
        self._all = declaring
        self._name = name
        self._where = where

    def counter(self, name: str, says: str, labels: Sequence[str] = ()) -> Counter:
        """Something that only rises; the name is without its ending `_total`."""
        made = Counter(PREFIX + name, says, labels, registry=self._all.registry)
        self._all.add(self._described(f"{PREFIX}{name}_total", "counter", says, labels), made)
        return made

    def gauge(self, name: str, says: str, labels: Sequence[str] = ()) -> Gauge:
        """Something that goes up and down."""
        made = Gauge(PREFIX + name, says, labels, registry=self._all.registry)
        self._all.add(self._described(PREFIX + name, "gauge", says, labels), made)
        return made

    def histogram(self, name: str, says: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> CountedHistogram:
        """Observations by size, which were counted elsewhere."""
        made = CountedHistogram(PREFIX + name, says, bounds, tuple(labels))
        self._all.registry.register(made)
        self._all.add(self._described(PREFIX + name, "histogram", says, labels), made)
        return made

    def describe(self, name: str, kind: Kind, says: str, labels: Sequence[str] = ()) -> None:
        """What somebody else puts into the registry."""
        self._all.described.append(self._described(name, kind, says, labels))

    def _described(self, name: str, kind: Kind, says: str, labels: Sequence[str]) -> Described:
        return Described(self._name, name, kind, says, tuple(labels), self._where)


class _WithoutBirthdays(CollectorRegistry):
    """A registry that does not tell when each counter was made: as many lines again, which nobody asks for."""

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
