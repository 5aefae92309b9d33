"""A real run that is looked at and changed over HTTP while it goes on."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.messages import Status
from tests.product import ONE_FACE, needs_clips, start, statuses, streamer, until

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
ENDS_WITHIN_S = 60


@dataclass
class Run:
    """`streamer run ... --control 0` in a process of its own."""

    folder: Path
    process: subprocess.Popen[str]
    port: int = 0
    said: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"} | headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = (answer.getheader("Content-Type") or "").startswith("application/json")
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()

    def done(self, method: str, path: str, body: Any = None) -> str:
        status, said = self.ask(method, path, body)
        assert status in (200, 201), said
        return str(said["done"])

    def stream(self, name: str) -> dict[str, Any]:
        status, said = self.ask("GET", f"/streams/{name}")
        return dict(said) if status == 200 else {"state": "absent", "decoded": 0, "analysed": 0}

    def wait(self, name: str, holds: Callable[[dict[str, Any]], bool], what: str) -> None:
        last: dict[str, Any] = {}

        def has_come() -> bool:
            last.clear()
            last.update(self.stream(name))
            return holds(last)

        try:
            until(has_come, f"{name}: {what}")
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure.msg}; it is {last}, and the run said {self.said}")

    def metrics(self) -> dict[tuple[str, str], dict[str, float]]:
        """By metric and stream: values by the other label, or by an empty text."""
        _, text = self.ask("GET", "/metrics")
        found: dict[tuple[str, str], dict[str, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = dict(sample.labels)
                stream = labels.pop("stream", "")
                found.setdefault((sample.name, stream), {})["".join(labels.values())] = sample.value
        return found

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(ENDS_WITHIN_S)
        return self.process.returncode


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[tuple[Run, threading.Thread]] = []

    def begin(*arguments: str | Path) -> Run:
        process = start("run", *arguments, "--control", "0", "--quiet", "--children", "1", cwd=tmp_path)
        one = Run(tmp_path, process)

        def listen() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                one.said.append(line.rstrip())

        reader = threading.Thread(target=listen, daemon=True)
        reader.start()
        runs.append((one, reader))
        until(lambda: bool(one.said), "the run tells where it can be asked")
        found = re.fullmatch(r"streamer: control at http://127\.0\.0\.1:(\d+)", one.said[0])
        assert found, one.said
        one.port = int(found[1])
        return one

    yield begin
    for one, reader in runs:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        reader.join()
        for pipe in (one.process.stdout, one.process.stderr):
            if pipe is not None:
                pipe.close()


def test_streams_are_added_paused_changed_and_removed_while_others_go_on(run: Callable[..., Run]) -> None:
    one = run("first=testsrc://160x120@20")
    one.wait("first", lambda s: s["state"] == "live" and s["decoded"] > 0, "it is live")
    assert one.done("PUT", "/streams/second", {"source": "testsrc://160x120@20", "sample_fps": 2}) == "added"
    one.wait("second", lambda s: s["dropped"].get("sample_rate", 0) > 10, "it is live, and sampled")

    assert one.done("PATCH", "/streams/second", {"sample_fps": None}) == "changed"
    before = one.stream("second")["analysed"]
    one.wait("second", lambda s: s["analysed"] > before + 20, "every frame is analysed")
    skipped = one.stream("second")["dropped"]["sample_rate"]

    assert one.done("PATCH", "/streams/second", {"paused": True}) == "changed"
    one.wait("second", lambda s: s["state"] == "paused", "it is paused")
    paused = one.stream("second")
    assert paused["dropped"]["sample_rate"] == skipped

    # What metrics say is what the statuses on the bus say, and both add up.
    def on_the_bus() -> list[Status]:
        return [status for status in statuses(one.folder / "affect.db") if status.stream == "second"]

    until(lambda: on_the_bus()[-1].state == "paused", "the bus says that it is paused")
    told = one.metrics()
    last = [status for status in on_the_bus() if status.state != "paused"][-1]
    assert told["streamer_frames_decoded_total", "second"][""] == paused["decoded"] >= last.decoded > 0
    dropped = told["streamer_frames_dropped_total", "second"]
    assert paused["decoded"] == paused["analysed"] + sum(dropped.values())
    assert told["streamer_source_state", "second"]["paused"] == 1
    until(lambda: one.metrics()["streamer_source_state", "first"]["live"] == 1, "the other one is live")

    assert one.done("PATCH", "/streams/second", {"paused": False}) == "changed"
    one.wait("second", lambda s: s["state"] == "live" and s["decoded"] > paused["decoded"], "it goes on")
    until(lambda: on_the_bus()[-1].state == "live", "the bus says that it goes on")
    assert one.metrics()["streamer_frames_decoded_total", "second"][""] >= paused["decoded"]

    assert one.done("DELETE", "/streams/second") == "removed"
    one.wait("second", lambda s: s["state"] == "absent", "it is gone")
    until(lambda: ("streamer_frames_decoded_total", "second") not in one.metrics(), "nothing is told of it any more")
    one.wait("first", lambda s: s["state"] == "live", "it goes on")
    assert one.ask("GET", "/healthz")[1]["streams"] == 1
    assert one.end() == 130


def test_what_is_wrong_is_refused_and_nothing_changes(run: Callable[..., Run]) -> None:
    one = run("first=testsrc://160x120@20")
    one.wait("first", lambda s: s["state"] == "live", "it is live")
    for status, cause, asked in (
        (422, "unsupported", ("PUT", "/streams/x", {"source": "gopher://u:geheim@host/"})),
        (422, "refused", ("PUT", "/streams/x", {"source": "0"})),
        (422, "bad_definition", ("PUT", "/streams/x", {"source": "testsrc://64x64", "sample_fps": -1})),
        (400, "bad_request", ("PUT", "/streams/x", {"source": "testsrc://64x64", "nonsense": 1})),
        (404, "unknown_stream", ("DELETE", "/streams/x", None)),
    ):
        got, said = one.ask(*asked)
        assert (got, said["cause"]) == (status, cause), said
        assert "geheim" not in said["error"]
    assert one.ask("DELETE", "/streams/first", Host="evil.example")[0] == 403
    assert one.ask("DELETE", "/streams/first", Origin="http://evil.example")[0] == 403
    one.wait("first", lambda s: s["state"] == "live", "it goes on")
    assert one.end() == 130


@needs_clips
def test_latencies_of_a_live_face_are_a_histogram(run: Callable[..., Run]) -> None:
    one = run()  # nothing to begin with
    assert one.ask("GET", "/streams")[1] == {"streams": []}
    assert one.done("PUT", "/streams/face", {"source": str(ONE_FACE), "repeat": True}) == "added"
    one.wait("face", lambda s: s.get("faces", 0) > 50, "faces are seen")

    def counted() -> float:
        return one.metrics().get(("streamer_latency_seconds_count", "face"), {}).get("", 0.0)

    until(lambda: counted() > 20, "latencies are told")
    told = one.metrics()
    buckets = told["streamer_latency_seconds_bucket", "face"]
    assert buckets["+Inf"] == told["streamer_latency_seconds_count", "face"][""]
    assert buckets["10.0"] > 0
    assert told["streamer_latency_seconds_sum", "face"][""] > 0
    assert told["streamer_faces_total", "face"][""] > 50
    assert one.end() == 130


def test_an_address_that_is_none_or_open_to_all_begins_nothing(tmp_path: Path) -> None:
    done = streamer("run", "testsrc://64x64", "--control", "127.0.0.1:99999", cwd=tmp_path)
    assert done.returncode == 2
    assert "99999" in done.stderr
    open_to_all = streamer("run", "testsrc://64x64", "--control", "0.0.0.0:0", cwd=tmp_path)
    assert open_to_all.returncode == 2
    assert "STREAMER_CONTROL_TOKEN" in open_to_all.stderr
