"""Samples as a scrape has them, to be asked by name and labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class Scrape:
    """Each sample's value by its name and labels."""

    samples: dict[str, list[tuple[dict[str, str], float]]]

    @staticmethod
    def of(samples: Iterable[Sample]) -> Scrape:
        """Those samples."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for sample in samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
        return Scrape(found)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples with these labels; 0 where there are none."""
        return sum(value for has, value in self.samples.get(name, ()) if labels.items() <= has.items())

    def largest(self, name: str) -> float:
        """The largest of the samples; 0 where there are none."""
        return max((value for _, value in self.samples.get(name, ())), default=0.0)

    def values(self, name: str, label: str) -> list[str]:
        """The values of a label, in order."""
        return sorted({has[label] for has, _ in self.samples.get(name, ()) if label in has})
