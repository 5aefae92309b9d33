"""Whether a process does what it is for, and if not, why."""

from __future__ import annotations

from collections.abc import Collection

from streamer.control.words import Readiness


def readiness(
    *, draining: bool, n_ready: int, joining: bool = False, without: Collection[str] = (), bus_away_s: float = 0.0
) -> Readiness:
    """Of a process of which `n_ready` children have their models warm. A worker is `joining` until it is a member, and
    is `without` partitions in some of its roles.
    """
    if draining:
        return _not("draining", "it was asked to end: what it has is being committed and handed over.")
    if joining:
        away = f", which has not answered for {bus_away_s:.0f} s" if bus_away_s >= 1 else ""
        return _not("joining", f"it waits for the bus{away}.")
    if not n_ready:
        return _not("models_loading", "no child process has its models loaded and warm yet.")
    if without:
        return _not("no_partitions", f"no partition is assigned to it yet for its {' and '.join(sorted(without))}.")
    return Readiness(ready=True)


def _not(cause: str, reason: str) -> Readiness:
    return Readiness(ready=False, cause=cause, reason=reason)
