"""A real Kafka broker for the tests: fetched by Maven once, started once a session, on free loopback ports."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from streamer.bench import broker
from streamer.bench.broker import Broker, free_ports
from tests.setting_up import give_up

__all__ = ["Broker", "fetch", "free_ports", "missing", "need", "start"]

VERSION = "4.1.1"
REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache" / "kafka" / VERSION


def missing() -> str | None:
    """Why no broker can be started here, or None."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            return f"the Kafka tests need {program}, which is not installed"
    return None


def fetch() -> Path:
    """The folder with the broker's jars, fetched on first use; several test runs may ask at once."""
    libs = CACHE / "libs"
    complete = CACHE / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            pom = Path(__file__).with_name("pom.xml")
            command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
            subprocess.run(command, check=True, timeout=300)
            complete.touch()
    return libs


def start(folder: Path, more: Mapping[str, str] | None = None, format_options: Sequence[str] = ()) -> Broker:
    """A broker of the fetched jars that keeps its data in `folder`: see `streamer.bench.broker.start`."""
    return broker.start(fetch(), folder, more, format_options)


def need(reason: str | None) -> None:
    """Skip the test for this reason, if there is one; in CI that is a failure."""
    if reason is not None:
        give_up(reason)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The session's one broker, shared by all tests: use topics of your own prefix. Skipped where Java or Maven is
    missing, except in CI, where that is a failure."""
    need(missing())
    started = start(tmp_path_factory.mktemp("kafka"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def kafka_url(kafka_broker: Broker) -> str:
    """The bus address of the session's broker."""
    return kafka_broker.url


@pytest.fixture
def prefix() -> str:
    """A topic prefix nobody else uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A bus address, once for each home."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bus.db"
    url: str = request.getfixturevalue("kafka_url")
    return url
