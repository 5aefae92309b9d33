"""A real Prometheus scrapes a real run and a real worker: what dashboard and rules ask gives what it should."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from streamer.bench.fleet.ground import Ground
from tests.operating.expressions import alerts, dashboard_expressions, watched
from tests.operating.process import Shown
from tests.operating.prometheus import Prometheus
from tests.product import ONE_FACE, needs_clips, until

EMPTY_WHEN_HEALTHY: frozenset[str] = frozenset()
"""Nothing: every counter begins at 0, so that what never happened can be asked for too."""


@needs_clips
@pytest.mark.kafka
@pytest.mark.models
@pytest.mark.timeout(600)
def test_every_expression_gives_series(
    start_run: Callable[..., Shown], start_prometheus: Callable[[Sequence[str]], Prometheus], ground: Ground
) -> None:
    run = start_run("--control", "0")
    until(run.is_ready, "it is ready before there is work")
    run.put("face", {"source": str(ONE_FACE), "repeat": True})
    camera, recording = ground.camera(), ground.recording(1.0)
    with ground.site("scraped", [camera, recording], {"metrics.address": "127.0.0.1:0"}) as site:
        view = site.view("jobs.status")
        worker = site.start("one")
        site.until(view, lambda: "control.listens" in worker.said(), "the worker tells where it shows itself")
        found = re.search(r"http://(127\.0\.0\.1:\d+)", worker.said())
        assert found is not None, worker.said()
        site.define({"yard": camera})
        jobs = site.submit({"file": recording})
        own = run.url()
        assert own is not None
        prometheus = start_prometheus([own.removeprefix("http://"), found[1]])
        prometheus.wait_until_scraping(2)
        site.until_over(view, jobs)
        _check_expressions(prometheus)
        _check_rules(prometheus)
        roles = {series["metric"]["role"] for series in prometheus.query("streamer_info")}
        assert roles == {"run", "worker"}
        assert worker.stop() == 0
    assert run.end() in (0, 130)


def _check_expressions(prometheus: Prometheus) -> None:
    asked = [*dashboard_expressions(), *(watched(alert) for alert in alerts())]
    missing = set(asked) - EMPTY_WHEN_HEALTHY

    def all_there() -> bool:
        missing.difference_update([one for one in tuple(missing) if prometheus.query(one)])
        return not missing

    try:
        until(all_there, "every expression gives series", timeout_s=150)
    except pytest.fail.Exception:
        pytest.fail("these give nothing:\n" + "\n".join(sorted(missing)))
    for expression in EMPTY_WHEN_HEALTHY:
        assert not prometheus.query(expression), expression


def _check_rules(prometheus: Prometheus) -> None:
    until(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), "every rule was evaluated")
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in alerts()}
    assert not [rule for rule in rules if rule.get("lastError")]
    # Not those that a slow machine may rightly raise.
    quiet = {"StreamerDown", "StreamGone", "NetworkFails", "BusAway", "SpoolLoses", "ChildrenDie", "JobsFail"}
    assert {rule["name"] for rule in rules if rule["state"] == "firing"}.isdisjoint(quiet)
