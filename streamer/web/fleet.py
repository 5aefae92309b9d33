"""The fleet: its workers, who owns what, what waits, and how far behind the groups are."""

from __future__ import annotations

from typing import Any

from streamer.bus.protocol import GroupSeen
from streamer.bus.topics import partition_of
from streamer.web.model import Model
from streamer.web.overview import note

Row = dict[str, Any]


def workers(model: Model) -> dict[str, Row]:
    """Each worker by its name: what it owns and carries of what it can, for streams and for jobs."""
    with model.lock:
        found: dict[str, Row] = {}
        for member in model.workers().members:
            streams = _in(model, member.partitions)
            live = [life for life in streams if life.status is not None and life.status.state == "live"]
            found[member.name] = _blank() | {
                "partitions": _ranges(member.partitions),
                "n_partitions": len(member.partitions),
                "streams": len(streams),
                "live": len(live),
                "max_streams": member.max_units or None,
                "fps": round(sum(life.fps or 0.0 for life in live), 1),
                "max_fps": round(member.max_rate, 1) or None,
            }
        for member in _jobs(model).members:
            row = found.setdefault(member.name, _blank())
            row["job_partitions"] = len(member.partitions)
            row["jobs"] = _running(model, member.name)
            row["job_slots"] = member.max_units or None
        return found


def summary(model: Model) -> Row:
    """The whole fleet in numbers, and whether its groups are being shared out anew."""
    with model.lock:
        now_s = model.clock.wall_s()
        states = [life.state(now_s) for life in model.streams.values()]
        streams, jobs = model.workers(), _jobs(model)
        owned = {partition for member in streams.members for partition in member.partitions}
        return {
            "workers": len({member.name for member in (*streams.members, *jobs.members)}),
            "streams": len(model.streams),
            "states": {state: states.count(state) for state in sorted(set(states))},
            "partitions": model.names.streams.partitions,
            "unowned": model.names.streams.partitions - len(owned) if streams.members else None,
            "moving": not (streams.settled and jobs.settled),
            "lag_jobs": sum(jobs.lag.values()) if jobs.lag else None,
            "passed_over": model.passed_over,
        }


def waiting(model: Model) -> dict[str, Row]:
    """The wanted streams that nobody watches, with the reason."""
    with model.lock:
        now_s = model.clock.wall_s()
        return {
            name: {"state": life.state(now_s), "note": note(life), "priority": life.definition.priority}
            for name, life in model.streams.items()
            if life.definition is not None
            and not life.definition.paused
            and life.state(now_s) in ("waiting", "silent", "failed")
        }


def _jobs(model: Model) -> GroupSeen:
    return model.groups.get(model.names.jobs.name, GroupSeen((), {}))


def _in(model: Model, partitions: frozenset[int]) -> list[Any]:
    n = model.names.streams.partitions
    return [
        life
        for name, life in model.streams.items()
        if life.definition is not None and partition_of(name, n) in partitions
    ]


def _running(model: Model, worker: str) -> int:
    jobs = model.wanted.board.jobs().values()
    return sum(1 for job in jobs if job.status.state == "running" and job.status.worker == worker)


def _blank() -> Row:
    return {
        "partitions": "",
        "n_partitions": 0,
        "streams": 0,
        "live": 0,
        "max_streams": None,
        "fps": 0.0,
        "max_fps": None,
        "job_partitions": 0,
        "jobs": 0,
        "job_slots": None,
    }


def _ranges(numbers: frozenset[int]) -> str:
    """`0-3, 7`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in spans)
