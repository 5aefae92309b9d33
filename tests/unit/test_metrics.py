"""What a scraper reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from streamer.counting import LATENCY_BUCKETS_S, Counted
from streamer.metrics import STATES, Metrics


def read(metrics: Metrics, accept: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    text, _ = metrics.exposition(accept)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def one_quick() -> Counted:
    """One observation in the first bucket."""
    return Counted((1,) + (0,) * (len(LATENCY_BUCKETS_S) - 1), 0.001)


def test_counters_are_told_with_their_stream_and_cause() -> None:
    metrics = Metrics()
    metrics.streams.decoded.labels("door").inc(5)
    metrics.streams.dropped.labels("door", "late").inc(2)
    found = read(metrics)
    assert found["streamer_frames_decoded_total", (("stream", "door"),)] == 5
    assert found["streamer_frames_dropped_total", (("cause", "late"), ("stream", "door"))] == 2
    assert not [name for name, _ in found if name.endswith("_created")]


def test_a_source_is_in_one_state() -> None:
    metrics = Metrics()
    metrics.streams.enter("door", "live")
    metrics.streams.enter("door", "stalled")
    states = {dict(labels)["state"]: value for (name, labels), value in read(metrics).items() if "state" in name}
    assert states == {state: float(state == "stalled") for state in STATES}


def test_latencies_are_cumulative_buckets_of_what_was_added() -> None:
    metrics = Metrics()
    counts = [0] * len(LATENCY_BUCKETS_S)
    counts[0], counts[4], counts[-1] = 3, 2, 1
    metrics.streams.latency.add(Counted(tuple(counts), 20.5), "door")
    metrics.streams.latency.add(Counted(tuple(counts), 20.5), "door")
    found = read(metrics)

    def bucket(bound: str) -> float:
        return found["streamer_latency_seconds_bucket", (("le", bound), ("stream", "door"))]

    assert [bucket("0.01"), bucket("0.1"), bucket("0.15"), bucket("10.0"), bucket("+Inf")] == [6, 6, 10, 10, 12]
    assert found["streamer_latency_seconds_count", (("stream", "door"),)] == 12
    assert found["streamer_latency_seconds_sum", (("stream", "door"),)] == 41.0


def test_nothing_stays_of_a_stream_that_left() -> None:
    metrics = Metrics()
    for stream in ("door", "lobby"):
        metrics.streams.decoded.labels(stream).inc()
        metrics.streams.dropped.labels(stream, "late").inc()
        metrics.streams.enter(stream, "live")
        metrics.streams.latency.add(one_quick(), stream)
    metrics.forget("door")
    streams = {dict(labels).get("stream") for _, labels in read(metrics)}
    assert streams == {"lobby", None}


def test_both_text_formats_are_spoken() -> None:
    metrics = Metrics()
    metrics.streams.latency.add(one_quick(), "door")
    assert metrics.exposition("text/plain")[1].startswith("text/plain")
    text, kind = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_two_registries_know_nothing_of_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.streams.decoded.labels("door").inc()
    assert ("streamer_frames_decoded_total", (("stream", "door"),)) not in read(other)
