"""A real Kafka broker as a program starts it: one node that is its own controller, on free loopback ports.

It needs Java and the jars of a Kafka release (the folder `libs` of one that was unpacked).
"""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from streamer.errors import StreamerError, UsageError

START_TIMEOUT_S = 90.0
_TOOL_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
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
    """A running broker. `url` is its bus address; `folder` holds its data and output."""

    def __init__(self, libs: Path, folder: Path, port: int) -> None:
        self.libs = libs
        self.folder = folder
        self.port = port
        self.url = f"kafka://127.0.0.1:{port}"
        self.process = self._launch()

    def kill(self) -> None:
        """End it as a power cut does; `restart` finds its data again."""
        self.process.kill()
        self.process.wait(_STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Start it again after `kill`; returns when it answers."""
        self.process = self._launch()
        self.wait_until_ready()

    def pause(self) -> None:
        """Freeze it: connections stay, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        while not _is_stopped(self.process.pid) and time.monotonic() < deadline_s:
            time.sleep(0.001)  # its threads stop one by one; until then one may answer

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    def throttle(self, producer_bytes_per_s: int | None) -> None:
        """Hold every client to so many bytes a second of what it produces; None takes the quota back."""
        change = (
            ["--delete-config", "producer_byte_rate"]
            if producer_bytes_per_s is None
            else ["--add-config", f"producer_byte_rate={producer_bytes_per_s}"]
        )
        where = ["--bootstrap-server", f"127.0.0.1:{self.port}", "--alter"]
        _tool(self.libs, "kafka.admin.ConfigCommand", *where, *change, "--entity-type", "clients", "--entity-default")

    def stop(self) -> None:
        """End it and wait for its end."""
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_until_ready(self) -> None:
        """Return once it answers requests. Raises `StreamerError` with its last words when it does not."""
        import kafka  # not for the commands that need no broker
        from kafka import errors

        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                admin = kafka.KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}", bootstrap_timeout_ms=1000)
                admin.close()
                return
            except (OSError, errors.KafkaError):
                time.sleep(0.05)
                if self.process.poll() is not None or time.monotonic() > deadline_s:
                    output = (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")
                    raise StreamerError(f"the Kafka broker did not start:\n{output[-3000:]}") from None

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [*_java(self.libs), "kafka.Kafka", str(self.folder / "server.properties")],
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def _is_stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped; the process, where the system does not tell of threads."""
    threads = Path(f"/proc/{pid}/task")
    if not threads.is_dir():
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    try:
        stats = [path.read_text(encoding="ascii", errors="replace") for path in threads.glob("*/stat")]
    except OSError:
        return False  # a thread has just ended: the others are not stopped yet
    return all(stat.rpartition(")")[2].split()[0] in "Tt" for stat in stats)


def start(
    libs: Path, folder: Path, more: Mapping[str, str] | None = None, format_options: Sequence[str] = ()
) -> Broker:
    """A broker of the jars in `libs` that keeps its data in `folder` and answers requests.

    `more` are properties over the usual ones, `{port}` and `{controller}` in them the ports of the plain listeners.
    Raises `UsageError` where there is no Java or no Kafka, `StreamerError` when it does not start.
    """
    if shutil.which("java") is None:
        raise UsageError("a broker needs java, which is not installed")
    if not any(libs.glob("kafka_*.jar")):
        raise UsageError(f"{libs} has no Kafka: name the folder `libs` of a release, or one with its jars")
    folder.mkdir(parents=True, exist_ok=True)
    port, controller = free_ports(2)
    properties = folder / "server.properties"
    usual = _PROPERTIES.format(port=port, controller=controller, folder=folder)
    over = {key: value.format(port=port, controller=controller) for key, value in (more or {}).items()}
    kept = [line for line in usual.splitlines() if line.partition("=")[0] not in over]
    properties.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in over.items())]) + "\n")
    cluster = base64.urlsafe_b64encode(b"A" + uuid.uuid4().bytes[1:]).decode().rstrip("=")  # never begins with -
    _tool(libs, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *format_options)
    broker = Broker(libs, folder, port)
    try:
        broker.wait_until_ready()
    except BaseException:
        broker.stop()
        raise
    return broker


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


def _java(libs: Path) -> list[str]:
    return ["java", *_JAVA, "-cp", f"{libs}/*"]


def _tool(libs: Path, *command: str) -> None:
    done = subprocess.run([*_java(libs), *command], capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S)
    if done.returncode != 0:
        raise StreamerError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
