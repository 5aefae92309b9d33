from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.errors import UsageError
from streamer.messages import Observation, TrackEvent, Window
from streamer.report import write_report
from tests.synthetic_run import RUN, make_run

SETTINGS = TopicSettings(partitions=8, prefix="test")


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = open_bus(f"sqlite:///{tmp_path}/affect.db")
    bus.ensure_topics(topics(SETTINGS).all())
    yield bus
    bus.close()


def publish(bus: Bus, run: str = RUN, n_frames: int = 100) -> None:
    made = make_run(run=run, n_frames=n_frames)
    producer = bus.producer(transactional_id="t")
    records: list[Observation | Window | TrackEvent] = [*made.observations, *made.windows, *made.tracks]
    producer.commit([*(outgoing(r, SETTINGS, "archive") for r in records), outgoing(made.run, SETTINGS)])
    producer.close()


def test_a_report_holds_the_wanted_run_only(bus: Bus, tmp_path: Path) -> None:
    publish(bus)
    publish(bus, run="r-other", n_frames=50)
    written = write_report(bus, [RUN], tmp_path / "new" / "report.html", prefix="test")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert written.n_observations == len(make_run(n_frames=100).observations)
    assert written.skipped == {}
    assert written.size_bytes == len(page.encode())
    assert RUN in page
    assert "r-other" not in page.split("<script", 1)[0]


def test_without_a_run_the_newest_is_taken(bus: Bus, tmp_path: Path) -> None:
    publish(bus)
    assert write_report(bus, [], tmp_path / "report.html", prefix="test").runs == (RUN,)


def test_nothing_to_report_says_what_to_do(bus: Bus, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="streamer run"):
        write_report(bus, [], tmp_path / "report.html", prefix="test")
    with pytest.raises(UsageError, match="r-unknown is not on this bus"):
        write_report(bus, ["r-unknown"], tmp_path / "report.html", prefix="test")
    assert not list(tmp_path.glob("*report*")), "no part is left behind"


def test_a_place_that_cannot_be_written_is_named(bus: Bus, tmp_path: Path) -> None:
    publish(bus, n_frames=30)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"cannot write .*file/report\.html: "):
        write_report(bus, [RUN], tmp_path / "file" / "report.html", prefix="test")
    with pytest.raises(UsageError, match="it is a folder"):
        write_report(bus, [RUN], tmp_path, prefix="test")


def test_a_failed_write_keeps_the_old_page(bus: Bus, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("old")
    with pytest.raises(UsageError):
        write_report(bus, ["r-unknown"], page, prefix="test")
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.glob("*report*")] == ["report.html"]
