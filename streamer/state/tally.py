"""What a stretch of a track amounts to: the running sums behind window records and track summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from streamer.messages import ProbsSpan, Span, TrackSummary, VaOrigin, r6, r6s
from streamer.types import EXPRESSIONS

Seven = Annotated[list[float], msgspec.Meta(min_length=7, max_length=7)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one face in one frame: `probs` (7) as answered, `label` an index or None for low quality."""

    probs: tuple[float, ...]
    label: int | None
    confidence: float
    valence: float
    arousal: float
    va_origin: VaOrigin


class Scale(msgspec.Struct):
    """Minimum, maximum and sum of one number."""

    low: float = float("inf")
    high: float = float("-inf")
    total: float = 0.0

    def add(self, value: float) -> None:
        """Take one value in."""
        if value < self.low:
            self.low = value
        if value > self.high:
            self.high = value
        self.total += value

    def merge(self, later: Scale) -> None:
        """Take in the values of `later`."""
        self.low = min(self.low, later.low)
        self.high = max(self.high, later.high)
        self.total += later.total

    def span(self, n: int) -> Span:
        """As records carry it; `n` is how many values were added."""
        return Span(min=r6(self.low), max=r6(self.high), mean=r6(self.total / n))


class Tally(msgspec.Struct):
    """Running sums over observations, in float64 and in the order they came: a restored tally goes on bit for bit.

    `labelled` counts observations per expression, `good_total` sums the probs of those of good quality alone.
    """

    n: int = 0
    n_low: int = 0
    from_s: float = 0.0
    to_s: float = 0.0
    predicted: bool = True
    low: Seven = msgspec.field(default_factory=lambda: [1.0] * 7)
    high: Seven = msgspec.field(default_factory=lambda: [0.0] * 7)
    total: Seven = msgspec.field(default_factory=lambda: [0.0] * 7)
    good_total: Seven = msgspec.field(default_factory=lambda: [0.0] * 7)
    labelled: Annotated[list[int], msgspec.Meta(min_length=7, max_length=7)] = msgspec.field(
        default_factory=lambda: [0] * 7
    )
    valence: Scale = msgspec.field(default_factory=Scale)
    arousal: Scale = msgspec.field(default_factory=Scale)
    confidence_total: float = 0.0

    def add(self, media_time_s: float, answer: Answer) -> None:
        """Take one observation in."""
        probs = answer.probs
        if self.n == 0:
            self.from_s = media_time_s
            self.low = self.high = self.total = list(probs)
        else:
            self.low = list(map(min, self.low, probs))
            self.high = list(map(max, self.high, probs))
            self.total = _plus(self.total, probs)
        self.n += 1
        self.to_s = media_time_s
        if answer.label is None:
            self.n_low += 1
        else:
            self.good_total = _plus(self.good_total, probs)
            self.labelled[answer.label] += 1
        if answer.va_origin != "predicted":
            self.predicted = False
        self.valence.add(answer.valence)
        self.arousal.add(answer.arousal)
        self.confidence_total += answer.confidence

    def merge(self, later: Tally) -> None:
        """Take in a whole later stretch (at least one observation)."""
        if self.n == 0:
            self.from_s = later.from_s
        self.low = list(map(min, self.low, later.low))
        self.high = list(map(max, self.high, later.high))
        self.total = _plus(self.total, later.total)
        self.good_total = _plus(self.good_total, later.good_total)
        self.labelled = [a + b for a, b in zip(self.labelled, later.labelled, strict=True)]
        self.n += later.n
        self.n_low += later.n_low
        self.to_s = later.to_s
        self.predicted = self.predicted and later.predicted
        self.valence.merge(later.valence)
        self.arousal.merge(later.arousal)
        self.confidence_total += later.confidence_total

    @property
    def va_origin(self) -> VaOrigin:
        """`predicted` only when every value was."""
        return "predicted" if self.predicted else "derived"

    def dominant(self) -> str | None:
        """The expression with the highest mean probability over observations of good quality; None without any."""
        if self.n == self.n_low:
            return None
        return EXPRESSIONS[self.good_total.index(max(self.good_total))]

    def probs_span(self) -> ProbsSpan:
        """Minimum, maximum and mean of the probs over all observations."""
        return ProbsSpan(min=r6s(self.low), max=r6s(self.high), mean=r6s(self._mean()))

    def summary(self) -> TrackSummary:
        """The whole as a track's life. Its label is the most frequent one, the more probable of equals."""
        n_labelled = self.n - self.n_low
        best = max(range(7), key=lambda i: (self.labelled[i], self.good_total[i]))
        return TrackSummary(
            from_media_time_s=r6(self.from_s),
            to_media_time_s=r6(self.to_s),
            n_observations=self.n,
            n_low_quality=self.n_low,
            label=EXPRESSIONS[best] if n_labelled else None,
            shares=r6s(count / n_labelled if n_labelled else 0.0 for count in self.labelled),
            probs_mean=r6s(self._mean()),
            valence=self.valence.span(self.n),
            arousal=self.arousal.span(self.n),
            confidence_mean=r6(self.confidence_total / self.n),
        )

    def _mean(self) -> list[float]:
        return [total / self.n for total in self.total]


def _plus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]
