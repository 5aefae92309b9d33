"""The run records: what ran, with which models, how each source went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engines.errors import EnginesError
from engines.zoo import load
from streamer import machine
from streamer.bus.protocol import Bus, Producer
from streamer.bus.topics import outgoing
from streamer.clock import Clock
from streamer.config import Config
from streamer.messages import RunRecord, RunState, SourceResult, VaOrigin


@dataclass(slots=True)
class RunBook:
    """Keeps one RunRecord per run id and writes it to the bus whenever a source of it changes."""

    config: Config
    bus: Bus
    clock: Clock
    precision: str = ""
    _results: dict[str, dict[str, SourceResult]] = field(default_factory=dict)
    _started_s: dict[str, float] = field(default_factory=dict)
    _untouched: set[str] = field(default_factory=set)
    _producer: Producer | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        """The run ids of this invocation, in the order they began."""
        return (*self._results, *sorted(self._untouched - set(self._results)))

    def note(self, run: str, result: SourceResult, stage_s: Mapping[str, float]) -> None:
        """A source of `run` began, ended or failed."""
        self._started_s.setdefault(run, self.clock.wall_s())
        self._results.setdefault(run, {})[result.stream] = result
        self._write(run, stage_s)

    def note_done_before(self, run: str) -> None:
        """A source of `run` was finished by an earlier invocation: its record stays as it is."""
        self._untouched.add(run)

    def close(self, stage_s: Mapping[str, float], *, timeout_s: float = 10.0) -> None:
        """Write every record a last time and wait until the bus has them."""
        for run in self._results:
            self._write(run, stage_s)
        if self._producer is not None:
            self._producer.flush(timeout_s)
            self._producer.close()
            self._producer = None

    def _write(self, run: str, stage_s: Mapping[str, float]) -> None:
        self._producer = self._producer or self.bus.producer()
        self._producer.send([outgoing(self._record(run, stage_s), self.config.topics)])

    def _record(self, run: str, stage_s: Mapping[str, float]) -> RunRecord:
        sources = tuple(self._results[run].values())
        state = _state_of(sources)
        models, licences, calibration, va_origin = _model_facts(self.config)
        return RunRecord(
            run=run,
            state=state,
            started_s=self._started_s[run],
            finished_s=None if state == "running" else self.clock.wall_s(),
            software=machine.versions(),
            machine=machine.facts(),
            models=models,
            licences=licences,
            precision=self.precision,
            va_origin=va_origin,
            calibration=calibration,
            settings=_flat(self.config),
            stage_s={name: round(seconds, 3) for name, seconds in stage_s.items()},
            sources=sources,
        )


def _state_of(sources: tuple[SourceResult, ...]) -> RunState:
    states: set[RunState] = {source.state for source in sources}
    order: tuple[RunState, ...] = ("running", "interrupted", "failed")
    for state in order:
        if state in states:
            return state
    return "done"


def _model_facts(config: Config) -> tuple[dict[str, str], dict[str, str], str, VaOrigin]:
    models: dict[str, str] = {}
    licences: dict[str, str] = {}
    calibration = ""
    va_origin: VaOrigin = "derived"
    folder = Path(config.models.folder) if config.models.folder else None
    for role, name in (("detector", config.models.detector), ("expression", config.models.expression)):
        try:
            spec = load(name, folder=folder, offline=True).spec
        except EnginesError:
            models[role] = name
            continue
        models[role] = spec.model_id
        licences[spec.model_id] = spec.provenance.licence
        if role == "expression":
            calibration = f"temperature {spec.calibration.temperature:g}: {spec.calibration.fitted}"
            va_origin = "predicted" if spec.valence_arousal_trained_on else "derived"
    models["head"] = config.models.head
    return models, licences, calibration, va_origin


def _flat(config: Config) -> dict[str, str]:
    """The settings as `section.key: value` strings."""
    flat: dict[str, str] = {}
    for section, value in msgspec.to_builtins(config).items():
        if section in ("bus", "sources"):
            continue  # may carry passwords; the sources are in their own results
        if isinstance(value, dict):
            flat |= {f"{section}.{key}": str(inner) for key, inner in value.items()}
        else:
            flat[section] = str(value)
    return flat
