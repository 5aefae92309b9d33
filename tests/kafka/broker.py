"""A real Kafka broker for the tests: fetched by Maven once, started once a session, on free loopback ports."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

VERSION = "4.1.1"
REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache" / "kafka" / VERSION
START_TIMEOUT_S = 90.0
_JAVA = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""


class Broker:
    """A running broker. `url` is its bus address."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"kafka://127.0.0.1:{port}"
        self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [*_java(), "kafka.Kafka", str(self.folder / "server.properties")],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it as a power cut does; `restart` finds its data again."""
        self.process.kill()
        self.process.wait(20)

    def restart(self) -> None:
        """Start it again after `kill`; returns when it answers."""
        self.process = self._launch()
        _wait_until_ready(self)

    def pause(self) -> None:
        """Freeze it: connections stay, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and wait for its end."""
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


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
    """A broker that keeps its data in `folder` and answers requests.

    `more` are properties over the usual ones, `{port}` and `{controller}` in them the ports of the plain listeners.
    """
    port, controller = free_ports(2)
    properties = folder / "server.properties"
    usual = _PROPERTIES.format(port=port, controller=controller, folder=folder)
    over = {key: value.format(port=port, controller=controller) for key, value in (more or {}).items()}
    kept = [line for line in usual.splitlines() if line.partition("=")[0] not in over]
    properties.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in over.items())]) + "\n")
    cluster = base64.urlsafe_b64encode(b"A" + uuid.uuid4().bytes[1:]).decode().rstrip("=")  # never begins with -
    format_command = [*_java(), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    subprocess.run([*format_command, *format_options], check=True, capture_output=True, timeout=60)
    broker = Broker(folder, port)
    try:
        _wait_until_ready(broker)
    except BaseException:
        broker.stop()
        raise
    return broker


def _java() -> list[str]:
    return ["java", *_JAVA, "-cp", f"{fetch()}/*"]


def _wait_until_ready(broker: Broker) -> None:
    import kafka  # not for the tests that need no broker
    from kafka import errors

    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", broker.port), 1.0).close()
            admin = kafka.KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{broker.port}", bootstrap_timeout_ms=1000)
            admin.close()
            return
        except (OSError, errors.KafkaError):
            time.sleep(0.05)
            if broker.process.poll() is not None or time.monotonic() > deadline_s:
                output = (broker.folder / "output.txt").read_text()
                raise RuntimeError(f"the Kafka broker did not start:\n{output[-3000:]}") from None


def free_ports(n: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def need(reason: str | None) -> None:
    """Skip the test for this reason, if there is one; in CI that is a failure."""
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The session's one broker, shared by all tests: use topics of your own prefix. Skipped where Java or Maven is
    missing, except in CI, where that is a failure."""
    need(missing())
    broker = start(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


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
