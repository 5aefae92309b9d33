"""The order of a transaction, with one fake for each step that can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from streamer import faults
from streamer.bus.protocol import GroupToken, Outgoing, Position
from streamer.bus.transaction import Acknowledged, InDoubt, write
from streamer.errors import UsageError

RECORDS = [Outgoing("results", 0, b"k", b"a"), Outgoing("state", 0, b"k", b"b"), Outgoing("jobs", 0, b"k", b"c")]
POSITION = Position(GroupToken("g", "m", 3), (("jobs", 0, 7),))


class Cluster:
    """What readers of committed records see, and the steps as they were taken; `fails` maps a step to its error."""

    def __init__(self, **fails: BaseException) -> None:
        self.fails = fails
        self.steps: list[str] = []
        self.open: list[Outgoing] = []
        self.moved: Position | None = None
        self.visible: list[Outgoing] = []
        self.position: Position | None = None

    def begin(self) -> None:
        self._step("begin")

    def give(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            self.open.append(record)
        self._step("give")

    def acknowledgements(self) -> Acknowledged:
        self._step("acknowledgements")
        return Acknowledged(tuple(range(len(self.open))))

    def move(self, position: Position, proof: Acknowledged) -> None:
        assert len(proof.offsets) == len(self.open)
        self._step("move")
        self.moved = position

    def commit(self) -> None:
        self._step("commit")
        self.visible, self.position = list(self.open), self.moved

    def abort(self) -> None:
        self.steps.append("abort")
        self.open.clear()
        self.moved = None

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.fails:
            raise self.fails[name]


class TimedOut(Exception):
    pass


class Stale(Exception):
    pass


def test_the_steps_are_taken_in_order() -> None:
    cluster = Cluster()
    write(cluster, RECORDS, POSITION)
    assert cluster.steps == ["begin", "give", "acknowledgements", "move", "commit"]
    assert cluster.visible == RECORDS
    assert cluster.position == POSITION


def test_without_a_position_none_is_moved() -> None:
    cluster = Cluster()
    write(cluster, RECORDS, None)
    assert cluster.steps == ["begin", "give", "acknowledgements", "commit"]
    assert cluster.visible == RECORDS


def test_a_position_alone_is_moved() -> None:
    cluster = Cluster()
    write(cluster, [], POSITION)
    assert cluster.position == POSITION


@pytest.mark.parametrize("step", ["begin", "give", "acknowledgements", "move"])
@pytest.mark.parametrize("error", [TimedOut(), Stale(), RuntimeError(), KeyboardInterrupt()])
def test_what_fails_before_the_commit_is_aborted_and_nothing_is_visible(step: str, error: BaseException) -> None:
    cluster = Cluster(**{step: error})
    with pytest.raises(type(error)):
        write(cluster, RECORDS, POSITION)
    assert cluster.steps[-2:] == [step, "abort"]
    assert cluster.visible == []
    assert cluster.position is None
    if step != "move":
        assert "move" not in cluster.steps  # no position without the records' acknowledgements
    cluster.fails.clear()
    write(cluster, RECORDS, POSITION)
    assert cluster.visible == RECORDS


@pytest.mark.parametrize("error", [TimedOut(), RuntimeError()])
def test_a_commit_without_an_answer_is_in_doubt_and_not_aborted(error: Exception) -> None:
    cluster = Cluster(commit=error)
    with pytest.raises(InDoubt) as doubt:
        write(cluster, RECORDS, POSITION)
    assert doubt.value.__cause__ is error
    assert doubt.value.proof.offsets == (0, 1, 2)
    assert "abort" not in cluster.steps


POINTS = ["begin", "records", "acknowledgements", "position", "commit", "done"]
_CHILD = """
import sys
sys.path.insert(0, {folder!r})
from tests.unit.bus.test_transaction import Cluster, POSITION, RECORDS
from streamer import faults
from streamer.bus.transaction import write
faults.arm({spec!r})
class Told(Cluster):
    def _step(self, name):
        print(name, flush=True)
        super()._step(name)
write(Told(), RECORDS, POSITION)
print("second", flush=True)
write(Told(), RECORDS, POSITION)
print("survived", flush=True)
"""


@pytest.mark.parametrize(("point", "steps"), list(zip(POINTS, range(6), strict=True)))
def test_a_process_dies_where_it_is_told_to(point: str, steps: int, request: pytest.FixtureRequest) -> None:
    script = _CHILD.format(folder=str(request.config.rootpath), spec=f"commit.{point}:2")
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    said = child.stdout.split()
    order = ["begin", "give", "acknowledgements", "move", "commit"]
    assert child.returncode == -9, child.stderr
    assert said == [*order, "second", *order[:steps]]


@pytest.mark.parametrize("spec", ["", "commit", "commit.records:", "commit.records:0", ":3", "commit.records:x"])
def test_a_fault_that_cannot_be_meant_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        faults.arm(spec)


def test_nothing_dies_where_nothing_was_armed() -> None:
    faults.at("commit.records")
