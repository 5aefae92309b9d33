"""The scenarios by name, and what `streamer bench fleet` makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.bench.fleet import churn, cost, cycles, kills, outage, takeover
from streamer.bench.fleet.ground import Ground
from streamer.bench.record import header
from streamer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run, and which of its arguments the options `--minutes`, `--repeats` and `--seed` are."""

    run: Callable[..., dict[str, Any]]
    repeats: str | None = None
    minutes: str | None = None
    seeded: bool = False
    seconds_per_minute: float = 1.0
    """What a minute is multiplied by for the argument."""

    def arguments(self, minutes: float | None, repeats: int | None, seed: int | None) -> dict[str, Any]:
        """The arguments of `run`. Raises `UsageError` for an option that means nothing here."""
        given: dict[str, Any] = {}
        for option, value, name in (
            ("--minutes", None if minutes is None else minutes * self.seconds_per_minute, self.minutes),
            ("--repeats", repeats, self.repeats),
            ("--seed", seed, "seed" if self.seeded else None),
        ):
            if value is not None and name is None:
                raise UsageError(f"{option} means nothing to this scenario: leave it out")
            if value is not None and name is not None:
                given[name] = value
        return given


SCENARIOS: Mapping[str, Scenario] = {
    "kills": Scenario(kills.run, repeats="n_kills", seeded=True),
    "takeover": Scenario(takeover.run, repeats="repeats"),
    "churn": Scenario(churn.run, minutes="minutes", seeded=True),
    "outage": Scenario(outage.run, repeats="times", minutes="away_s", seconds_per_minute=60.0),
    "cycles": Scenario(cycles.run, repeats="n_cycles"),
    "cost": Scenario(cost.run, repeats="pairs"),
}


def run(name: str, ground: Ground, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One scenario's result behind the facts of the machine; `good` is its verdict."""
    began_s = time.monotonic()
    found = SCENARIOS[name].run(ground, **arguments)
    return {
        **header(f"fleet-{name}"),
        "clip": ground.clip.name,
        "bus": ground.bus_url.partition("://")[0],
        "wall_s": round(time.monotonic() - began_s, 1),
        **found,
    }
