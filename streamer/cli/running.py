"""A run from its configuration to its outcome, and what is told of it: `streamer run` and `streamer demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import msgspec
from rich.console import Console

from streamer import log
from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.cli.models_needed import ensure_models
from streamer.cli.serving import served_at, serving
from streamer.config import Config
from streamer.errors import SourceError, UsageError
from streamer.messages import SourceResult
from streamer.progress import ProgressDisplay, summary, unfinished
from streamer.sources import Source, expand_pages, parse_all, redacted
from streamer.worker.children import Children
from streamer.worker.supervisor import RunOutcome, Supervisor
from streamer.worker.tracing import check_tracing


def run_config(
    config: Config,
    run_name: str | None,
    report_path: Path | None,
    *,
    offline: bool = False,
    quiet: bool = False,
    log_level: log.Level = "error",
    log_format: log.Format = "console",
    children: Children | None = None,
) -> RunOutcome:
    """Run the sources of `config` to their end; write the report when asked to."""
    if not config.sources and not config.control.address:
        raise UsageError("name at least one SOURCE, on the command line or under `sources` in the configuration")
    log.configure(log_level, log_format)
    served = served_at(config)
    check_tracing(config)
    chosen, unusable = _sources(config)
    if report_path is not None:
        _check_writable(report_path)
    ensure_models(config, offline=offline, quiet=quiet)
    bus = open_bus(config.bus, settings=config.topics)
    try:
        bus.ensure_topics(topics(config.topics).all())
        with ProgressDisplay(Console(stderr=True), enabled=not quiet) as display:
            supervisor = Supervisor(
                config,
                chosen,
                bus,
                run=run_name,
                show=display.update,
                say=lambda sentence, wrong: display.say(f"streamer: {sentence}") if wrong or not quiet else None,
                controlled=bool(config.control.address),
                log_level=log_level,
                log_format=log_format,
                children=children,
            )
            with serving(served, supervisor.control, lambda what, url: display.say(f"streamer: {what} at {url}")):
                outcome = supervisor.run()
        outcome = replace(outcome, results=(*unusable, *outcome.results))
        if outcome.fatal is not None:
            raise outcome.fatal
        if report_path is not None and outcome.runs:
            from streamer.report import write_report  # loads what a supervisor should not while it works

            write_report(bus, outcome.runs, report_path, prefix=config.topics.prefix)
    finally:
        bus.close()
    return outcome


def _sources(config: Config) -> tuple[list[Source], list[SourceResult]]:
    """The sources that can be tried, and a result for each that cannot: one wrong name stops none of the others."""
    usable: list[str] = []
    unusable: list[SourceResult] = []
    for text in config.sources:
        try:
            parse_all([text], config.mode)
            usable.append(text)
        except SourceError as error:
            unusable.append(_unusable(redacted(text), redacted(text), error))
    found = parse_all(usable, config.mode)

    def refused(source: Source, error: SourceError) -> None:
        unusable.append(_unusable(source.stream, source.name, error))

    return expand_pages(found, config.connect, refused), unusable


def _unusable(stream: str, name: str, error: SourceError) -> SourceResult:
    return SourceResult(
        stream=stream, source=name, state="failed", mode="archive", cause=error.cause, message=str(error)
    )


def exit_code(outcome: RunOutcome) -> int:
    """130 when interrupted, 1 when a source failed, else 0."""
    if outcome.interrupted:
        return 130
    return 1 if any(result.state == "failed" for result in outcome.results) else 0


def tell(outcome: RunOutcome, *, quiet: bool = False) -> None:
    """The summary on standard output unless `quiet`, and on standard error a sentence on each source not done."""
    if not quiet:
        click.echo(summary(outcome.results, outcome.wall_s))
    for sentence in unfinished(outcome.results):
        click.echo(f"streamer: {sentence}", err=True)


def outcome_as_json(outcome: RunOutcome, config: Config, report_path: Path | None) -> dict[str, object]:
    """What `--json` prints; `report` is null when no page was written (not asked for, or no source could be read)."""
    return {
        "bus": redacted(config.bus),
        "report": str(report_path) if report_path and outcome.runs else None,
        "runs": list(outcome.runs),
        "interrupted": outcome.interrupted,
        "wall_s": round(outcome.wall_s, 3),
        "loaded_s": outcome.loaded_s,
        "first_record_s": outcome.first_record_s,
        "stage_s": {name: round(seconds, 3) for name, seconds in sorted(outcome.stage_s.items())},
        "sources": msgspec.to_builtins(outcome.results),
    }


def _check_writable(path: Path) -> None:
    """Say so before the work, not after it."""
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"cannot write {path}: the folder {parent} does not exist")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
