"""Judges what lies on the topics, by epoch, number and id alone: nothing lost, nothing twice, one owner at a time.

It reads raw records and shares no code with the reader for other programs, so that a fault of the one does not hide
in the other. `python -m streamer.bench.checker BUS` prints the verdict as JSON and ends with 1 when it is bad.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import msgspec

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming
from streamer.bus.read import drain

RESULTS = ("observations", "windows", "tracks")
_TOLD = 20  # faults that are written out; the others are counted


@dataclass(slots=True)
class Verdict:
    """What was found. `good` asks for no fault of any kind; what is only counted is allowed to happen.

    lost: numbers below an epoch's highest that nobody wrote. out_of_order: records that came after a higher number
    of their epoch. overlaps: epochs whose valid records lie in time after records of a newer epoch: two owners at
    once. conflicts: one number or one id for different records, or an epoch with two beginnings. repeated: archive
    records that are there twice. duplicates: live records delivered again. late: records of a former epoch that
    waited out an outage. zombies: records that a former owner saw after it had lost the stream, which readers drop.
    crash_missing: records that a snapshot knew of and that never came.
    """

    records: int = 0
    streams: int = 0
    epochs: int = 0
    lost: int = 0
    out_of_order: int = 0
    overlaps: int = 0
    conflicts: int = 0
    repeated: int = 0
    undecodable: int = 0
    duplicates: int = 0
    late: int = 0
    zombies: int = 0
    crash_missing: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not any((self.lost, self.out_of_order, self.overlaps, self.conflicts, self.repeated, self.undecodable))


@dataclass(slots=True)
class Comparison:
    """What an archive has against the archive of an undisturbed run of the same work, record by record."""

    records: int = 0
    missing: int = 0
    extra: int = 0
    repeated: int = 0
    changed: int = 0
    reordered: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether both are the same, byte for byte and in order, and not empty."""
        wrong = (self.missing, self.extra, self.repeated, self.changed, self.reordered)
        return self.records > 0 and not any(wrong)


class _Raw(msgspec.Struct, frozen=True):
    """The fields that are judged."""

    id: str
    stream: str
    run: str
    epoch: int
    seq: int
    epoch_time_s: float | None = None
    capture_time_s: float | None = None
    prev_epoch: int | None = None
    prev_seq: int | None = None


def check_live(bus: Bus, prefix: str = "affect", keep: Callable[[str], bool] = lambda stream: True) -> Verdict:
    """Judge the live results of the streams that `keep` names. The topics must reach back to their beginning."""
    verdict = Verdict()
    groups = _by(lambda raw: raw.stream, _raws(bus, [f"{prefix}.{name}" for name in RESULTS], keep, verdict))
    for (topic, stream), records in groups.items():
        _judge_epochs(f"{topic} {stream}", records, verdict)
        _judge_owners(f"{topic} {stream}", records, verdict)
    verdict.streams = len({stream for _, stream in groups})
    return verdict


def check_archive(bus: Bus, prefix: str = "affect", keep: Callable[[str], bool] = lambda stream: True) -> Verdict:
    """Judge the archive's committed results: within each stream's run every number and every id once, in order."""
    verdict = Verdict()
    names = [f"{prefix}.archive.{name}" for name in RESULTS]
    groups = _by(lambda raw: (raw.stream, raw.run), _raws(bus, names, keep, verdict))
    for (topic, (stream, run)), records in groups.items():
        place = f"{topic} {stream} {run}"
        twice = _judge_numbers(place, records, verdict)
        _fault(verdict, "repeated", f"{place}: {twice} records are there twice", twice)
    verdict.streams = len({stream for _, (stream, _) in groups})
    return verdict


def compare(
    reference: Bus,
    subject: Bus,
    *,
    reference_prefix: str = "affect",
    prefix: str = "affect",
    keep: Callable[[str], bool] = lambda stream: True,
) -> Comparison:
    """Compare the archive of `subject` with that of an undisturbed run: the same ids, bytes and order per run."""
    found = Comparison()
    wanted, there = _archive(reference, reference_prefix, keep), _archive(subject, prefix, keep)
    for key in sorted(wanted.keys() | there.keys()):
        _compare_run(" ".join(key), wanted.get(key, []), there.get(key, []), found)
    return found


def _judge_epochs(place: str, records: list[_Raw], verdict: Verdict) -> None:
    epochs: dict[int, list[_Raw]] = defaultdict(list)
    for raw in records:
        epochs[raw.epoch].append(raw)
    verdict.epochs += len(epochs)
    ids: dict[str, tuple[int, int]] = {}
    for epoch, of_epoch in sorted(epochs.items()):
        verdict.duplicates += _judge_numbers(f"{place} epoch {epoch}", of_epoch, verdict)
        if len({raw.epoch_time_s for raw in of_epoch}) > 1:
            _fault(verdict, "conflicts", f"{place} epoch {epoch}: it began at different times")
        for raw in of_epoch:
            if raw.seq == 0 and raw.prev_epoch in epochs and raw.prev_seq is not None:
                came = max(before.seq for before in epochs[raw.prev_epoch])
                verdict.crash_missing += max(0, raw.prev_seq - came)
                break
        for raw in of_epoch:
            number = ids.setdefault(raw.id, (raw.epoch, raw.seq))
            if number[0] != raw.epoch:  # within the epoch `_judge_numbers` has seen it
                _fault(verdict, "conflicts", f"{place}: id {raw.id} is in epochs {number[0]} and {raw.epoch}")


def _judge_numbers(place: str, records: list[_Raw], verdict: Verdict) -> int:
    """Numbers contiguous from 0 in the order of the log, each for one id, each id for one number.

    Returns how many records are there again.
    """
    again = 0
    ids: dict[int, str] = {}
    numbers: dict[str, int] = {}
    highest = -1
    for raw in records:
        if ids.setdefault(raw.seq, raw.id) != raw.id:
            _fault(verdict, "conflicts", f"{place}: number {raw.seq} is on {ids[raw.seq]} and on {raw.id}")
        elif numbers.get(raw.id) == raw.seq:
            again += 1
        elif raw.id in numbers:
            _fault(verdict, "conflicts", f"{place}: id {raw.id} has numbers {numbers[raw.id]} and {raw.seq}")
        elif raw.seq < highest:
            _fault(verdict, "out_of_order", f"{place}: number {raw.seq} comes after {highest}")
        numbers.setdefault(raw.id, raw.seq)
        highest = max(highest, raw.seq)
    missing = [number for number in range(highest) if number not in ids]
    if missing:
        text = f"{place}: {len(missing)} numbers are missing, from {missing[0]} to {missing[-1]}"
        _fault(verdict, "lost", text, len(missing))
    return again


def _judge_owners(place: str, records: list[_Raw], verdict: Verdict) -> None:
    """Whether the records that a reader keeps of two epochs ever mingle in the time of capture."""
    newest: _Raw | None = None
    spans: dict[int, tuple[float, float]] = {}
    began: dict[int, float] = {}
    for raw in records:
        if newest is None or raw.epoch >= newest.epoch:
            newest = raw
        elif _is_before(raw.capture_time_s, newest.epoch_time_s):
            verdict.late += 1
        else:
            verdict.zombies += 1
            continue
        if raw.epoch_time_s is not None:
            began[raw.epoch] = raw.epoch_time_s
        if raw.capture_time_s is not None:
            first, last = spans.get(raw.epoch, (raw.capture_time_s, raw.capture_time_s))
            spans[raw.epoch] = (min(first, raw.capture_time_s), max(last, raw.capture_time_s))
    for former, latter in pairwise(sorted(began)):
        if began[latter] <= began[former]:
            _fault(verdict, "conflicts", f"{place}: epoch {latter} began before epoch {former}")
    ordered = sorted(spans)
    for at, former in enumerate(ordered):
        for latter in ordered[at + 1 :]:
            overlap_s = spans[former][1] - spans[latter][0]
            if overlap_s > 0:
                text = f"{place}: epoch {former} still wrote {overlap_s:.3f} s after epoch {latter} had begun to"
                _fault(verdict, "overlaps", text)


def _compare_run(
    place: str, wanted: list[tuple[str, bytes]], there: list[tuple[str, bytes]], found: Comparison
) -> None:
    found.records += len(wanted)
    ids, expected, counts = dict(there), dict(wanted), Counter(name for name, _ in there)
    missing = [name for name in expected if name not in ids]
    extra = [name for name in ids if name not in expected]
    twice = [name for name, n in counts.items() if n > 1]
    changed = [name for name, value in there if name in expected and value != expected[name]]
    for kind, names in (("missing", missing), ("extra", extra), ("repeated", twice), ("changed", changed)):
        if names:
            _fault(found, kind, f"{place}: {len(names)} {kind}, the first is {names[0]}", len(names))
    for name, other in zip(
        [name for name in expected if name in ids], [name for name in ids if name in expected], strict=True
    ):
        if name != other:
            _fault(found, "reordered", f"{place}: {other} comes where {name} should")
            return


def _archive(bus: Bus, prefix: str, keep: Callable[[str], bool]) -> dict[tuple[str, str, str], list[tuple[str, bytes]]]:
    """Ids and bytes of each topic's short name, stream and run."""
    runs: dict[tuple[str, str, str], list[tuple[str, bytes]]] = defaultdict(list)
    for incoming in drain(bus, [f"{prefix}.archive.{name}" for name in RESULTS]):
        raw, value = _decoded(incoming), incoming.value or b""
        name = incoming.topic.removeprefix(f"{prefix}.")
        if raw is None:  # kept, so that it counts as extra
            runs[name, "", "undecodable"].append((f"{incoming.partition}/{incoming.offset}", value))
        elif keep(raw.stream):
            runs[name, raw.stream, raw.run].append((raw.id, value))
    return runs


def _raws(bus: Bus, topics: Sequence[str], keep: Callable[[str], bool], verdict: Verdict) -> Iterator[tuple[str, _Raw]]:
    for incoming in drain(bus, topics):
        raw = _decoded(incoming)
        if raw is None:
            place = f"{incoming.topic} {incoming.partition}/{incoming.offset}"
            _fault(verdict, "undecodable", f"{place}: no record")
        elif keep(raw.stream):
            verdict.records += 1
            yield incoming.topic, raw


def _decoded(incoming: Incoming) -> _Raw | None:
    codec: Any = msgspec.json if dict(incoming.headers).get("content-type") == b"application/json" else msgspec.msgpack
    try:
        decoded: _Raw = codec.decode(incoming.value or b"", type=_Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return decoded


def _fault(found: Verdict | Comparison, kind: str, text: str, n: int = 1) -> None:
    if n == 0:
        return
    setattr(found, kind, getattr(found, kind) + n)
    if len(found.faults) < _TOLD:
        found.faults.append(text)


def _by(key: Callable[[_Raw], Any], records: Iterable[tuple[str, _Raw]]) -> dict[tuple[str, Any], list[_Raw]]:
    groups: dict[tuple[str, Any], list[_Raw]] = defaultdict(list)
    for topic, raw in records:
        groups[topic, key(raw)].append(raw)
    return groups


def _is_before(time_s: float | None, began_s: float | None) -> bool:
    return time_s is not None and began_s is not None and time_s < began_s


def main(arguments: list[str] | None = None) -> int:
    """Print the verdict over a bus as JSON; 0 when it is good, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m streamer.bench.checker", description=__doc__)
    parser.add_argument("bus", help="sqlite:///file.db or kafka://host:port")
    parser.add_argument("--prefix", default="affect")
    parser.add_argument("--reference", help="the bus with the archive of an undisturbed run")
    parser.add_argument("--reference-prefix", default="affect")
    options = parser.parse_args(arguments)
    bus = open_bus(options.bus, create=False)
    parts: dict[str, Verdict | Comparison] = {
        "live": check_live(bus, options.prefix),
        "archive": check_archive(bus, options.prefix),
    }
    if options.reference:
        reference = open_bus(options.reference, create=False)
        parts["comparison"] = compare(reference, bus, reference_prefix=options.reference_prefix, prefix=options.prefix)
        reference.close()
    bus.close()
    good = all(part.good for part in parts.values())
    report = {"good": good} | {name: {"good": part.good, **asdict(part)} for name, part in parts.items()}
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
