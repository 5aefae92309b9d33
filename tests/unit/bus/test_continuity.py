from __future__ import annotations

import msgspec

from streamer.bus.continuity import Continuity, Gap
from streamer.bus.protocol import Incoming
from streamer.messages import Observation
from tests.golden.records import OBSERVATION


def record(seq: int, epoch: int = 5) -> Observation:
    fields = {"epoch": epoch, "seq": seq, "prev_epoch": None, "prev_seq": None}
    return msgspec.structs.replace(OBSERVATION, **fields)


def take(
    continuity: Continuity, offset: int, seq: int, epoch: int = 5, topic: str = "affect.observations"
) -> list[Gap]:
    incoming = Incoming(topic, 0, offset, b"a", b"", (), 0.0)
    continuity.passed(incoming)
    if continuity.is_repeated(incoming, record(seq, epoch)):
        return []
    return continuity.take(incoming, record(seq, epoch))


def spans(gaps: list[Gap]) -> list[tuple[int, int | None]]:
    return [(gap.first_missing, gap.last_missing) for gap in gaps]


def test_reading_that_was_interrupted_begins_anew_and_repeated_offsets_do_not_interrupt() -> None:
    continuity = Continuity()
    assert take(continuity, 10, 0) == []
    assert take(continuity, 11, 1) == []
    assert take(continuity, 10, 0) == []  # the partition came back at the position that was committed
    assert take(continuity, 11, 1) == []
    assert spans(take(continuity, 12, 3)) == [(2, 2)]
    assert take(continuity, 40, 9) == []  # another member read what lies between, or retention has removed it
    assert spans(take(continuity, 41, 11)) == [(10, 10)]


def test_offsets_that_transactions_take_do_not_interrupt() -> None:
    continuity = Continuity()
    assert take(continuity, 0, 0, 0, "affect.archive.observations") == []
    assert spans(take(continuity, 9, 2, 0, "affect.archive.observations")) == [(1, 1)]


def test_many_holes_take_no_late_record_for_a_repetition() -> None:
    continuity = Continuity()
    for n in range(500):
        take(continuity, n, 2 * n)
    incoming = Incoming("affect.observations", 0, 500, b"a", b"", (), 0.0)
    continuity.passed(incoming)
    assert not any(continuity.is_repeated(incoming, record(seq)) for seq in range(1, 1000, 2))
    assert continuity.is_repeated(incoming, record(998))


def test_only_the_newest_epochs_of_a_stream_are_kept() -> None:
    continuity = Continuity()
    for epoch in range(1, 50):
        take(continuity, epoch, 0, epoch)
    incoming = Incoming("affect.observations", 0, 50, b"a", b"", (), 0.0)
    continuity.passed(incoming)
    assert [e for e in range(1, 50) if continuity.is_repeated(incoming, record(0, e))] == [46, 47, 48, 49]
