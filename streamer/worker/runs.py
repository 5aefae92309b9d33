"""The run records: what ran, with which models, how each source went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engines.errors import EnginesError
from engines.zoo import load, load_head
from streamer import log, machine
from streamer.bus.protocol import Bus, Producer
from streamer.bus.topics import content_type, key_of, outgoing, partition_of, topics
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import UndecodableRecord
from streamer.messages import RunRecord, RunState, SourceResult, VaOrigin, decode

MOST_SOURCES = 1000
"""So many sources are in a record of a worker, which must stay a message: those that ended longest ago leave first."""
WRITE_INTERVAL_S = 1.0  # a record holds all its sources: written at each of a thousand starts it would fill the bus


@dataclass(slots=True)
class _Run:
    """One run as its record says it. `touched` once this invocation has something to say of it, of `ours`."""

    started_s: float
    sources: dict[str, SourceResult]
    ours: set[str] = field(default_factory=set)
    touched: bool = False
    unwritten: bool = False
    written_s: float = -WRITE_INTERVAL_S


@dataclass(slots=True)
class RunBook:
    """Keeps one RunRecord per run id and writes it to the bus when a source of it has changed.

    A run goes on where its record on the bus ends: sources of earlier invocations stay in it. One invocation at a
    time writes a run: a source that an earlier one left as `running` was cut off and counts as interrupted.
    A worker names the one run that is `lasting`. Others are those of jobs: several workers may do jobs of one run, so
    what they wrote of it meanwhile is kept, and the run is let go of once ours of it is over. Records are bounded.
    """

    config: Config
    bus: Bus
    clock: Clock
    precision: str = ""
    lasting: str | None = None
    _runs: dict[str, _Run] = field(default_factory=dict)
    _facts: dict[str, Any] = field(default_factory=dict)
    _producer: Producer | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        """The run ids of this invocation, in the order they began; those with nothing new to say come last."""
        return tuple(sorted(self._runs, key=lambda run: not self._runs[run].touched))

    def note(self, run: str, result: SourceResult) -> None:
        """A source of `run` began, ended or failed; `write` puts it on the bus. Raises `BusError`."""
        found = self._run(run)
        found.touched = found.unwritten = True
        found.ours.add(result.stream)
        if self.lasting is not None:
            found.sources.pop(result.stream, None)  # the latest news last
        found.sources[result.stream] = result
        self._bound(found)

    def note_all(self, news: Mapping[tuple[str, str], SourceResult]) -> None:
        """`note` for each, by run and stream. May be said again. Raises `BusError`."""
        for (run, _), result in news.items():
            self.note(run, result)

    def note_done_before(self, run: str, result: SourceResult) -> SourceResult:
        """A source of `run` was finished earlier: what the record says of it, which is left as it is.

        Whoever finished it may have died before writing so; then the record says `result` from now on.
        """
        before = self._run(run).sources.get(result.stream)
        if before is not None and before.state in ("done", "failed") and before.session == result.session:
            return before
        self.note(run, result)
        return result

    def write(self, stage_s: Mapping[str, float]) -> None:
        """Write the records that changed, each at most once a second. Raises `BusError`."""
        now_s = self.clock.monotonic_s()
        for run, found in list(self._runs.items()):
            if found.unwritten and now_s >= found.written_s + WRITE_INTERVAL_S:
                found.written_s = now_s
                self._write(run, found, stage_s)
            running = any(found.sources[stream].state == "running" for stream in found.ours)
            if self._is_shared(run) and not (found.unwritten or running):
                del self._runs[run]

    def close(self, stage_s: Mapping[str, float], *, timeout_s: float = 10.0) -> None:
        """Write every record that changed a last time and wait until the bus has them. Raises `BusError`."""
        for run, found in self._runs.items():
            if found.touched:
                self._write(run, found, stage_s)
        if self._producer is not None:
            self._producer.flush(timeout_s)
            self._producer.close()
            self._producer = None

    def _run(self, run: str) -> _Run:
        if run not in self._runs:
            before = self._on_the_bus(run)
            seen = _as_it_is if self._is_shared(run) else _cut_off
            self._runs[run] = _Run(
                before.started_s if before else self.clock.wall_s(),
                {source.stream: seen(source) for source in before.sources} if before else {},
            )
        return self._runs[run]

    def _on_the_bus(self, run: str) -> RunRecord | None:
        topic, key = topics(self.config.topics).runs, key_of(run)
        stored = self.bus.latest(topic.name, partition_of(run, topic.partitions), [key]).get(key)
        if stored is None or stored.value is None:
            return None
        try:
            return decode(stored.value, RunRecord, content_type(stored.headers))
        except UndecodableRecord as error:
            log.warning("run.unreadable", run=run, reason=str(error))
            return None

    def _is_shared(self, run: str) -> bool:
        return self.lasting is not None and run != self.lasting

    def _bound(self, found: _Run) -> None:
        if self.lasting is None:
            return
        ended = [stream for stream, one in found.sources.items() if one.state != "running"]
        for stream in ended[: max(0, len(found.sources) - MOST_SOURCES)]:
            del found.sources[stream]
            found.ours.discard(stream)

    def _merge(self, run: str, found: _Run) -> None:
        """Take over what other workers have written of it."""
        before = self._on_the_bus(run)
        ours = {stream: found.sources[stream] for stream in found.sources if stream in found.ours}
        others = {one.stream: one for one in before.sources if one.stream not in ours} if before else {}
        found.sources = others | ours
        self._bound(found)

    def _write(self, run: str, found: _Run, stage_s: Mapping[str, float]) -> None:
        if self._is_shared(run):
            self._merge(run, found)
        self._producer = self._producer or self.bus.producer()
        self._producer.send([outgoing(self._record(run, found, stage_s), self.config.topics)])
        found.unwritten = False

    def _record(self, run: str, found: _Run, stage_s: Mapping[str, float]) -> RunRecord:
        sources = tuple(found.sources.values())
        state = _state_of(sources)
        self._facts = self._facts or _facts(self.config)
        return RunRecord(
            run=run,
            state=state,
            started_s=found.started_s,
            finished_s=None if state == "running" else self.clock.wall_s(),
            precision=self.precision,
            stage_s={name: round(seconds, 3) for name, seconds in stage_s.items()},
            sources=sources,
            **self._facts,
        )


def _cut_off(source: SourceResult) -> SourceResult:
    return msgspec.structs.replace(source, state="interrupted") if source.state == "running" else source


def _as_it_is(source: SourceResult) -> SourceResult:
    return source


def _state_of(sources: tuple[SourceResult, ...]) -> RunState:
    states: set[RunState] = {source.state for source in sources}
    order: tuple[RunState, ...] = ("running", "interrupted", "failed")
    for state in order:
        if state in states:
            return state
    return "done"


def _facts(config: Config) -> dict[str, Any]:
    """The fields of a run record that stay the same: software, machine, models, settings."""
    models: dict[str, str] = {}
    licences: dict[str, str] = {}
    calibration = ""
    va_origin: VaOrigin = "derived"
    folder = Path(config.models.folder) if config.models.folder else None
    for role, name in (("detector", config.models.detector), ("expression", config.models.expression)):
        try:
            precision = config.models.precision if role == "expression" else "auto"
            spec = load(name, folder=folder, offline=True, precision=precision).spec
        except EnginesError:
            models[role] = name
            continue
        models[role] = spec.model_id
        licences[spec.model_id] = spec.provenance.licence
        if role == "expression":
            calibration = f"temperature {spec.calibration.temperature:g}: {spec.calibration.fitted}"
            va_origin = "predicted" if spec.valence_arousal_trained_on else "derived"
    models["head"] = config.models.head
    if config.models.head not in ("none", "mean"):
        head, _ = load_head(config.models.head)
        models["head"] = head.model_id
        va_origin = "predicted" if head.valence_arousal_trained_on else va_origin
    return {
        "software": machine.versions(),
        "machine": machine.facts(),
        "models": models,
        "licences": licences,
        "va_origin": va_origin,
        "calibration": calibration,
        "settings": _flat(config),
    }


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
