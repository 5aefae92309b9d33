"""The checker must fail on what it is for: each test injects one fault into a topic that is good without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from streamer.bench.checker import Comparison, Verdict, check_archive, check_live, compare, main
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.messages import Format, Mode, Observation
from tests.golden.records import OBSERVATION

SETTINGS = TopicSettings(partitions=2)


def bus_at(path: Path) -> Bus:
    bus = open_bus(f"sqlite:///{path}")
    bus.ensure_topics(topics(SETTINGS).all())
    return bus


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = bus_at(tmp_path / "bus.db")
    yield bus
    bus.close()


def live(seq: int, epoch: int = 5, *, captured_s: float | None = None, **changes: object) -> Observation:
    """Epoch 5 began at 500 s; a record is captured a tenth of a second after the one before."""
    began_s = 100.0 * epoch
    fields: dict[str, object] = {
        "id": f"{epoch}-{seq}",
        "stream": "a",
        "epoch": epoch,
        "epoch_time_s": began_s,
        "seq": seq,
        "capture_time_s": began_s + seq / 10 if captured_s is None else captured_s,
        "prev_epoch": None,
        "prev_seq": None,
    }
    return msgspec.structs.replace(OBSERVATION, **fields | changes)


def archived(seq: int, **changes: object) -> Observation:
    fields: dict[str, object] = {"epoch": 0, "epoch_time_s": None, "capture_time_s": None, "run": "r"}
    return live(seq, **{**fields, "id": f"r-{seq}", **changes})  # type: ignore[arg-type]  # fields by name


def write(bus: Bus, records: Sequence[Observation], mode: Mode = "live", format: Format = "msgpack") -> None:
    settings = TopicSettings(partitions=2, format=format)
    bus.producer().send([outgoing(record, settings, mode) for record in records])


def judged(bus: Bus, *records: Observation) -> Verdict:
    write(bus, records)
    return check_live(bus)


GOOD = [live(seq) for seq in range(5)] + [live(seq, 7) for seq in range(4)]


def test_what_is_good_is_good_in_both_formats(bus: Bus) -> None:
    write(bus, GOOD[:5])
    write(bus, GOOD[5:], format="json")
    write(bus, [live(seq, 3, stream="b", id=f"b{seq}") for seq in range(3)])
    verdict = check_live(bus)
    assert verdict == Verdict(records=12, streams=2, epochs=3)
    assert verdict.good


def test_a_duplicate_is_counted(bus: Bus) -> None:
    verdict = judged(bus, *GOOD[:5], *GOOD[3:])
    assert (verdict.good, verdict.duplicates) == (True, 2)


def test_a_gap_is_a_loss(bus: Bus) -> None:
    verdict = judged(bus, GOOD[0], GOOD[1], GOOD[4], live(2, 7))
    assert not verdict.good
    assert verdict.lost == 4
    assert "from 2 to 3" in verdict.faults[0]


def test_a_swap_is_out_of_order(bus: Bus) -> None:
    verdict = judged(bus, GOOD[0], GOOD[2], GOOD[1], GOOD[3])
    assert not verdict.good
    assert (verdict.out_of_order, verdict.lost) == (1, 0)


def test_two_records_of_one_number_or_one_id_are_a_conflict(bus: Bus) -> None:
    assert judged(bus, live(0), live(0, id="other")).conflicts == 1
    assert judged(bus, live(1), live(2, id="5-1")).conflicts == 2


def test_two_epochs_with_one_id_are_a_conflict(bus: Bus) -> None:
    assert judged(bus, live(0), live(0, 7, id="5-0")).conflicts == 1


def test_an_epoch_with_two_beginnings_is_a_conflict(bus: Bus) -> None:
    verdict = judged(bus, live(0), live(1, epoch_time_s=501.0))
    assert (verdict.conflicts, verdict.good) == (1, False)


def test_a_newer_epoch_that_began_earlier_is_a_conflict(bus: Bus) -> None:
    assert judged(bus, live(0), live(0, 7, epoch_time_s=499.0)).conflicts == 1


def test_late_records_and_those_of_a_zombie_are_counted_and_good(bus: Bus) -> None:
    verdict = judged(bus, *GOOD[:4], *GOOD[5:], live(4), live(5, captured_s=700.05), live(6, captured_s=701.0))
    assert (verdict.late, verdict.zombies, verdict.good) == (1, 2, True)


def test_a_second_owner_whose_records_readers_would_keep_is_a_fault(bus: Bus) -> None:
    second = live(5, captured_s=700.25)  # it lies before the first record of epoch 7, which sees 700.0 to 700.3
    verdict = judged(bus, *GOOD[:5], second, *GOOD[5:])
    assert (verdict.overlaps, verdict.good) == (1, False)
    assert "epoch 5 still wrote 0.250 s after epoch 7" in verdict.faults[0]


def test_what_the_former_owner_saw_before_the_next_saw_anything_is_good(bus: Bus) -> None:
    assert judged(bus, *GOOD[:5], live(5, captured_s=700.1), live(0, 7, captured_s=700.2)).good


def test_what_a_snapshot_knew_and_never_came_is_counted(bus: Bus) -> None:
    verdict = judged(bus, *GOOD[:5], live(0, 7, prev_epoch=5, prev_seq=6))
    assert (verdict.crash_missing, verdict.good) == (2, True)


def test_what_is_no_record_is_a_fault(bus: Bus) -> None:
    bus.producer().send([Outgoing("affect.observations", 0, b"a", b"\xc1")])
    assert (check_live(bus).undecodable, check_live(bus).good) == (1, False)


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        ([archived(0), archived(1), archived(1)], "repeated"),
        ([archived(0), archived(2)], "lost"),
        ([archived(0), archived(2), archived(1)], "out_of_order"),
        ([archived(0), archived(0, id="other")], "conflicts"),
    ],
)
def test_the_archive_allows_nothing(bus: Bus, records: list[Observation], kind: str) -> None:
    write(bus, [archived(seq, run="s", id=f"s-{seq}") for seq in range(3)], "archive")
    assert check_archive(bus).good
    write(bus, records, "archive")
    verdict = check_archive(bus)
    assert (getattr(verdict, kind), verdict.good) == (1, False)


WHOLE = [archived(seq) for seq in range(5)]


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        (WHOLE, None),
        (WHOLE[:4], "missing"),
        ([*WHOLE, archived(5)], "extra"),
        ([*WHOLE, archived(2, run="s", id="s-2")], "extra"),
        ([*WHOLE, WHOLE[2]], "repeated"),
        ([*WHOLE[:2], archived(2, valence=0.5), *WHOLE[3:]], "changed"),
        ([WHOLE[0], WHOLE[2], WHOLE[1], *WHOLE[3:]], "reordered"),
    ],
)
def test_an_archive_is_compared_byte_for_byte(
    tmp_path: Path, bus: Bus, records: list[Observation], kind: str | None
) -> None:
    reference = bus_at(tmp_path / "reference.db")
    write(reference, WHOLE, "archive")
    write(bus, records, "archive")
    found = compare(reference, bus)
    reference.close()
    expected = Comparison(records=5)
    if kind is not None:
        setattr(expected, kind, 1)
    found.faults.clear()
    assert found == expected
    assert found.good is (kind is None)


def test_two_empty_archives_prove_nothing(bus: Bus) -> None:
    assert not compare(bus, bus).good


def test_only_the_named_streams_are_judged(bus: Bus) -> None:
    write(bus, [*GOOD, live(3, 9, stream="b", id="b")])
    assert not check_live(bus).good
    assert check_live(bus, keep=lambda stream: stream == "a").good


def test_the_verdict_is_printed_as_json(bus: Bus, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(bus, GOOD)
    url = f"sqlite:///{tmp_path}/bus.db"
    done = subprocess.run([sys.executable, "-m", "streamer.bench.checker", url], capture_output=True, check=True)
    told = msgspec.json.decode(done.stdout)
    assert (told["good"], told["live"]["records"], told["archive"]["good"]) == (True, 9, True)
    write(bus, WHOLE[:3], "archive")
    write(bus, [live(9)])
    assert main([url, "--reference", url]) == 1
    told = msgspec.json.decode(capfd.readouterr().out)
    assert (told["live"]["lost"], told["comparison"]["good"]) == (4, True)
