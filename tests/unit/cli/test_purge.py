from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.read import drain
from streamer.bus.topics import JOB_PARTITIONS, outgoing, partition_of, topics
from streamer.config import TopicSettings
from streamer.messages import SourceState
from streamer.wishes import records
from tests.golden.records import DEFINITION, JOB_STATUS, STATUS
from tests.purged import GONE, STAYS, left_behind
from tests.unit.cli.verbs import streamer, told, write

SETTINGS = TopicSettings()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/site.db"
    monkeypatch.setenv("STREAMER_BUS", url)
    left_behind(url, SETTINGS)
    return url


def n_records(url: str) -> int:
    bus = open_bus(url, create=False)
    try:
        return len(list(drain(bus, [topic.name for topic in topics(SETTINGS).all()])))
    finally:
        bus.close()


@pytest.mark.parametrize("state", ["connecting", "live", "stalled", "backing_off"])
def test_a_stream_that_is_being_watched_is_refused(
    url: str, capsys: pytest.CaptureFixture[str], state: SourceState
) -> None:
    write(url, outgoing(msgspec.structs.replace(STATUS, stream=GONE, state=state), SETTINGS))
    before = n_records(url)
    code, out, err = streamer(capsys, "purge", GONE, "--yes")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{GONE} is being watched: {state}" in err
    assert n_records(url) == before
    assert streamer(capsys, "purge", STAYS, "--yes")[0] == 0


def test_a_stream_that_is_wanted_is_refused_also_when_paused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    definition = msgspec.structs.replace(DEFINITION, stream=GONE, paused=True)
    write(url, records.stream_definition(definition, SETTINGS))
    code, _, err = streamer(capsys, "purge", GONE, "--yes")
    assert code == 2
    assert f"`streamer streams remove {GONE}` first" in err
    told(capsys, "streams", "remove", GONE)
    assert streamer(capsys, "purge", GONE, "--yes")[0] == 0


def test_a_stream_whose_job_is_not_over_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = msgspec.structs.replace(JOB_STATUS, stream=GONE, job="j-1", batch="night", state="waiting")
    write(url, records.job_status(waiting, partition_of(GONE, JOB_PARTITIONS), SETTINGS))
    code, _, err = streamer(capsys, "purge", GONE, "--yes")
    assert code == 2
    assert "`streamer jobs cancel night` first" in err


def test_it_is_asked_for_on_a_terminal_and_wants_yes_elsewhere(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    before = n_records(url)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = streamer(capsys, "purge", GONE)
    assert (code, err.count("\n")) == (2, 1)
    assert "--yes" in err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert streamer(capsys, "purge", GONE)[0] == 130
    assert n_records(url) == before
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    code, out, err = streamer(capsys, "purge", GONE)
    assert code == 0
    assert "records, for good?" in err
    assert out.startswith(f"{GONE}: ")
    assert n_records(url) < before


def test_the_check_says_what_is_there_and_then_that_nothing_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = streamer(capsys, "purge", "--check", GONE)
    assert code == 1
    assert all(topic.name in out for topic in topics(SETTINGS).all())
    code, out, _ = streamer(capsys, "purge", "--check", GONE, "--json")
    said = json.loads(out)
    assert (code, len(said["topics"])) == (1, len(topics(SETTINGS).all()))
    told_of = told(capsys, "purge", GONE, "--yes")
    assert told_of["left"] == 0
    assert sum(row["removed"] for row in told_of["topics"]) == said["left"]
    code, out, _ = streamer(capsys, "purge", "--check", GONE)
    assert (code, out) == (0, f"nothing of {GONE} can be read in 14 topics\n")
    assert streamer(capsys, "purge", "--check", STAYS)[0] == 1
    assert streamer(capsys, "purge", GONE, "--yes")[:2] == (0, f"{GONE}: nothing found\n")


def test_a_bus_that_is_none_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = streamer(capsys, "purge", "door", "--yes", "--bus", f"sqlite:///{tmp_path}/none.db")
    assert (code, err.count("\n")) == (1, 1)
    assert not (tmp_path / "none.db").exists()
