"""A worker's place in its fleet, as metrics."""

from __future__ import annotations

from collections.abc import Collection

from streamer.bus.protocol import Load
from streamer.messages import JobState
from streamer.metrics import Metrics
from streamer.metrics.declared import JOB_ENDS


class FleetMeters:
    """Fills `metrics`. Owned by the supervisor's loop. Knows which partitions are ours, by role."""

    def __init__(self, metrics: Metrics, roles: Collection[str]) -> None:
        self._of = metrics.fleet
        self._of.begin()
        self._owned: dict[str, frozenset[int]] = {role: frozenset() for role in roles}

    @property
    def without(self) -> list[str]:
        """The roles in which no partition is ours."""
        return [role for role, owned in self._owned.items() if not owned]

    def moved(self, role: str, move: str, partitions: frozenset[int]) -> None:
        """Partitions came (`assigned`) or went (`revoked`, `lost`)."""
        before = self._owned.get(role, frozenset())
        owned = before | partitions if move == "assigned" else before - partitions
        changed = len(before ^ owned)
        self._owned[role] = owned
        self._of.partitions.labels(role).set(len(owned))
        self._of.moves.labels(role, move).inc(changed)
        self._of.rebalances.labels(role).inc(bool(changed))

    def job_ended(self, state: JobState) -> None:
        """A job ended here, or is tried again."""
        if state in JOB_ENDS:
            self._of.jobs_ended.labels(state).inc()
        else:
            self._of.jobs_retried.inc()

    def look(self, load: Load, n_running: int) -> None:
        """How many jobs there are."""
        n = sum(units for _, units, _ in load.partitions)
        self._of.jobs.labels("running").set(n_running)
        self._of.jobs.labels("waiting").set(max(0, n - n_running))
