"""Every metric there is, declared once: its name with the unit, its labels, and what it counts.

Counters only ever rise; whoever wants a rate takes it from them. Nothing is global: each `Metrics` has a registry.
`streamer.worker.meters` fills them. To add one, declare it in `Metrics`; with the label `stream` it leaves with its
stream.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streamer.buckets import LATENCY_BUCKETS_S
from streamer.messages import SourceState

STATES: tuple[SourceState, ...] = get_args(SourceState)


class Metrics:
    """The metrics of one process. May be filled by one thread and read by any."""

    def __init__(self) -> None:
        self.registry = _WithoutBirthdays()
        self._of_streams: list[Counter | Gauge] = []
        stream = ["stream"]
        self.decoded = self._counter("frames_decoded", "Frames that the decoder gave.", stream)
        self.analysed = self._counter("frames_analysed", "Frames that went through the models.", stream)
        self.dropped = self._counter(
            "frames_dropped", "Frames that were not analysed, or faces of them, by cause.", ["stream", "cause"]
        )
        self.faces = self._counter("faces", "Faces observed: one for each face in each frame.", stream)
        self.records = self._counter("records", "Records made of the stream's faces.", stream)
        self.corrupt_packets = self._counter("corrupt_packets", "Packets that could not be decoded.", stream)
        self.state = self._gauge("source_state", "1 for the state that the source is in.", ["stream", "state"])
        self.transitions = self._counter(
            "source_transitions", "How often the source came to a state.", ["stream", "state"]
        )
        self.reconnects = self._counter("source_reconnects", "How often a source that was gone was back.", stream)
        self.frame_age_s = self._gauge("frame_age_seconds", "Time since the newest frame arrived.", stream)
        self.reorder_delay_s = self._gauge(
            "reorder_delay_seconds", "How much later frames come out because of the order of B-frames.", stream
        )
        self.restarts = self._counter("stream_restarts", "How often another process took the stream up.", stream)
        self.hung = self._gauge("hung_decoders", "Readers that are stuck in a child process for good.", ["child"])
        self.latency = LatencyHistograms(
            "streamer_latency_seconds",
            "From the arrival of a live frame's packet to the acknowledgement of the records made of it.",
        )
        self.registry.register(self.latency)

    def _counter(self, name: str, says: str, labels: Sequence[str]) -> Counter:
        made = Counter(f"streamer_{name}", says, labels, registry=self.registry)
        self._of_streams += [made] if "stream" in labels else []
        return made

    def _gauge(self, name: str, says: str, labels: Sequence[str]) -> Gauge:
        made = Gauge(f"streamer_{name}", says, labels, registry=self.registry)
        self._of_streams += [made] if "stream" in labels else []
        return made

    def enter(self, stream: str, state: SourceState) -> None:
        """The source is in `state` and in no other."""
        for one in STATES:
            self.state.labels(stream, one).set(1.0 if one == state else 0.0)

    def forget(self, stream: str) -> None:
        """Nothing more is told of this stream."""
        for metric in self._of_streams:
            metric.remove_by_labels({"stream": stream})
        self.latency.forget(stream)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All of them in the text format that a scraper's `Accept` header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class LatencyHistograms(Collector):
    """One histogram a stream, of counts that were made elsewhere: see `LATENCY_BUCKETS_S`."""

    def __init__(self, name: str, says: str) -> None:
        self._name = name
        self._says = says
        self._lock = threading.Lock()
        self._counts: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}

    def add(self, stream: str, counts: Sequence[int], sum_s: float) -> None:
        """Add so many observations to each bucket (not cumulative), of `sum_s` in all."""
        with self._lock:
            mine = self._counts.setdefault(stream, [0] * len(LATENCY_BUCKETS_S))
            for k, n in enumerate(counts):
                mine[k] += n
            self._sums_s[stream] = self._sums_s.get(stream, 0.0) + sum_s

    def forget(self, stream: str) -> None:
        """Nothing more is told of this stream."""
        with self._lock:
            self._counts.pop(stream, None)
            self._sums_s.pop(stream, None)

    def collect(self) -> Iterator[Metric]:
        """As the registry asks for them."""
        family = HistogramMetricFamily(self._name, self._says, labels=["stream"])
        bounds = [*map(str, LATENCY_BUCKETS_S[:-1]), "+Inf"]
        with self._lock:
            for stream, counts in self._counts.items():
                cumulative = list(zip(bounds, map(float, accumulate(counts)), strict=True))
                family.add_metric([stream], cumulative, self._sums_s[stream])
        yield family


class _WithoutBirthdays(CollectorRegistry):
    """A registry that does not tell when each counter was made: as many lines again, which nobody asks for."""

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
