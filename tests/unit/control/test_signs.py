"""What is wrong with a process, told from two scrapes of it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.control.scrape import Scrape
from streamer.control.signs import Seen, Sign, signs

WELL = """
process_start_time_seconds 1000
streamer_children{state="ready"} 2
streamer_children{state="starting"} 0
streamer_children_ended_total{how="killed"} 0
streamer_children_ended_total{how="failed"} 0
streamer_frames_decoded_total{stream="door"} 100
streamer_frames_dropped_total{stream="door",cause="queue_full"} 0
streamer_frames_dropped_total{stream="door",cause="late"} 0
streamer_frames_dropped_total{stream="door",cause="sample_rate"} 0
streamer_faces_dropped_total{stream="door",cause="engine_error"} 0
streamer_latency_seconds_bucket{stream="door",le="1.0"} 100
streamer_latency_seconds_bucket{stream="door",le="+Inf"} 100
streamer_latency_seconds_count{stream="door"} 100
streamer_bus_lag_seconds{child="0"} 0.02
streamer_bus_away_seconds{child="0"} 0
streamer_spool_waiting_records{child="0"} 0
streamer_spool_discarded_records_total 0
streamer_hung_decoders{child="0"} 0
streamer_streams{phase="waiting"} 0
streamer_jobs_ended_total{state="failed"} 0
"""
DOOR = {"stream": "door", "state": "live", "mode": "live", "frame_age_s": 0.1}


def scrape(**changed: float) -> Scrape:
    """`WELL` with other values; a sample is named by the beginning of its line, `__` standing for what is between."""
    lines = []
    for line in WELL.strip().splitlines():
        sample, _, value = line.rpartition(" ")
        hits = [new for name, new in changed.items() if all(part in sample for part in name.split("__"))]
        lines.append(f"{sample} {hits[0] if hits else value}")
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return Scrape.of(sample for family in families for sample in family.samples)


def look(
    stream: dict[str, Any] = DOOR,
    ready: dict[str, Any] | None = None,
    before: dict[str, float] | None = None,
    **after: float,
) -> list[Sign]:
    seen = Seen(ready or {"ready": True}, [stream], scrape(**(before or {})), scrape(**after), 5.0, 8200.0)
    return signs(seen)


def test_a_process_that_is_well_is_told_so() -> None:
    found = look()
    assert {one.verdict for one in found} == {"ok"}
    assert [one.name for one in found] == ["ready", "source", "drops", "latency", "bus", "children", "jobs"]
    assert found[1].detail == "1 of 1 streams are live"


@pytest.mark.parametrize(
    ("changed", "name", "verdict", "words"),
    [
        ({"ready": {"ready": False, "reason": "it drains."}}, "ready", "wrong", "it is not ready: it drains."),
        ({"ready": {"cause": "busy", "error": "no answer."}}, "ready", "wrong", "it is not ready: no answer."),
        (
            {"stream": DOOR | {"state": "stalled", "frame_age_s": 41.2, "message": "nothing came for 5 s."}},
            "source", "wrong", "door is stalled since its last frame 41 s ago: nothing came for 5 s.",
        ),
        (
            {"stream": DOOR | {"state": "backing_off", "frame_age_s": None, "cause": "missing"}},
            "source", "wrong", "door is backing off: missing",
        ),
        ({"stream": DOOR | {"frame_age_s": 12.0}}, "source", "wrong", "door has had no frame for 12 s"),
        ({"hung_decoders": 3}, "source", "wrong", "3 readers are stuck"),
        ({"phase": 2}, "source", "note", "2 streams wait for room"),
        (
            {"frames_decoded": 200, "queue_full": 25},
            "drops", "wrong", "door loses 25 % of its frames (queue_full): the machine is slower",
        ),
        ({"frames_decoded": 200, "cause__late": 3}, "drops", "wrong", "door loses 3 % of its frames (late)"),
        ({"engine_error": 4}, "drops", "wrong", "the network failed 4 times in 5 s (engine_error)"),
        (
            {"latency__+Inf": 200, "latency_seconds_count": 200, "latency__1.0": 150},
            "latency", "wrong", "50 % of the frames of door took longer than 1.0 s.",
        ),
        ({"bus_away": 40}, "bus", "wrong", "the bus has not answered for 40 s"),
        ({"bus_lag": 9}, "bus", "wrong", "records wait 9 s for the bus to take them and it grows"),
        ({"bus_lag": 9, "before": {"bus_lag": 12}}, "bus", "wrong", "records wait 9 s for the bus to take them:"),
        ({"waiting_records": 500}, "spool", "wrong", "500 records wait on the disk for the bus, more and more."),
        (
            {"waiting_records": 500, "before": {"waiting_records": 900}},
            "spool", "wrong", "500 records wait on the disk for the bus, fewer and fewer.",
        ),
        ({"discarded": 7}, "spool", "wrong", "7 records were lost on the disk since the start"),
        ({"discarded": 7, "before": {"discarded": 7}}, "spool", "note", "7 records were lost"),
        ({"killed": 1}, "children", "wrong", "1 child processes died since the start (1 killed, 0 failed)"),
        ({"killed": 1, "before": {"killed": 1}}, "children", "note", "1 child processes died"),
        ({"failed\"}": 5, "before": {"failed\"}": 5}}, "children", "wrong", "5 child processes died"),
        ({"children{": 0}, "children", "wrong", "no child process is running"),
        ({"jobs_ended": 2}, "jobs", "note", "2 jobs failed here"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(changed: dict[str, Any], name: str, verdict: str, words: str) -> None:
    found = [one for one in look(**changed) if one.verdict != "ok"]
    assert [(one.name, one.verdict) for one in found if words in one.detail] == [(name, verdict)], found
    assert not [one for one in look(**changed) if one.verdict == "ok" and one.name == name]


def test_what_is_wanted_is_no_loss() -> None:
    found = look(frames_decoded=200, sample_rate=80)
    assert {one.verdict for one in found} == {"ok"}
