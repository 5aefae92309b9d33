"""`streamer run`: one machine, any number of sources, no broker needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import msgspec
from rich.console import Console

from streamer import log
from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.cli.frame_options import frame_options
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.cli.serving import served_at, serving
from streamer.config import Config
from streamer.errors import SourceError, UsageError
from streamer.messages import SourceResult
from streamer.progress import ProgressDisplay, summary, unfinished
from streamer.sources import Source, expand_pages, parse_all, redacted
from streamer.worker.supervisor import RunOutcome, Supervisor


@click.command(
    epilog="""\b
Examples:
  streamer run talk.mp4 --report report.html
  streamer run recordings/ --bus kafka://localhost:9092
  streamer run door=rtsp://camera-1/live lobby=0 --sample-fps 5
  streamer run yard=rtsp://camera-7/live --keyframes-only --max-faces 3 --control 9180
"""
)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@frame_options
@bus_option
@config_option
@click.option(
    "--mode",
    type=click.Choice(["auto", "live", "archive"]),
    help="archive: lossless, as fast as it goes; live: at the source's own rate.  [default: by the kind of source]",
)
@click.option(
    "--model",
    metavar="NAME|FOLDER",
    help="Expression model: a name of the zoo, or a folder that `engines export` wrote.  [default: face-api]",
)
@click.option("--detector", metavar="NAME", help="Face detector.  [default: centerface]")
@click.option(
    "--head",
    metavar="NAME",
    help="Temporal head: none, mean, one that comes with the package (temporal, ema, ema-hysteresis, "
    "ema-hysteresis-remapped), or the path of a head.json.  [default: that of --model FOLDER; ema-hysteresis with "
    "face-api, none with other models]",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
    help="Precision of the engines.  [default: what the CPU is best at]",
)
@click.option("--run", "run_name", metavar="ID", help="Name this run; without it the same work has the same name.")
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Write a page about the run.")
@click.option(
    "--children", type=click.IntRange(min=0), metavar="N", help="Worker processes; 0 is one a core.  [default: 0]"
)
@click.option(
    "--control",
    metavar="[HOST:]PORT",
    help="Show streams and metrics, and take changes, over HTTP at this address of the machine; port 0 has the system "
    "choose one. The run then lasts until it is interrupted.  [default: off]",
)
@click.option("--offline", is_flag=True, help="Fetch no models; use what is in the cache.")
@click.option("--quiet", is_flag=True, help="No progress display and no summary; errors are told still.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="error",
    show_default=True,
    help="Which log events go to standard error, with those that are worse.",
)
@json_option
def run(
    sources: tuple[str, ...],
    bus: str | None,
    config_path: Path | None,
    mode: str | None,
    model: str | None,
    detector: str | None,
    head: str | None,
    precision: str | None,
    sample_fps: float | None,
    search_every: float | None,
    keyframes_only: bool | None,
    max_faces: int | None,
    control: str | None,
    run_name: str | None,
    report_path: Path | None,
    children: int | None,
    offline: bool,
    quiet: bool,
    log_level: log.Level,
    as_json: bool,
) -> int:
    """Watch SOURCEs and publish what their faces express.

    A SOURCE is a video file, a folder or glob of them, a folder of images, a webcam number, a camera's or web stream's
    address, a page with a video, or testsrc://. Write NAME=SOURCE to choose the stream's name. Cameras and web streams
    are opened again whenever they are gone, until Ctrl-C.
    """
    config = settings(
        config_path,
        bus=bus,
        sources=list(sources) or None,
        mode=mode,
        models__expression=model,
        models__detector=detector,
        models__head=head,
        models__precision=precision,
        worker__children=children,
        frames__sample_fps=sample_fps,
        detect__interval_s=search_every,
        frames__keyframes_only=keyframes_only,
        frames__max_faces=max_faces,
        control__address=control,
    )
    outcome = run_config(config, run_name, report_path, offline=offline, quiet=quiet or as_json, log_level=log_level)
    if as_json:
        click.echo(json.dumps(outcome_as_json(outcome, config, report_path), ensure_ascii=True))
        return exit_code(outcome)
    tell(outcome, quiet=quiet)
    if not quiet:
        click.echo(f"records   {redacted(config.bus)}")
        if report_path and outcome.runs:
            click.echo(f"report    {report_path}")
    return exit_code(outcome)


def run_config(
    config: Config,
    run_name: str | None,
    report_path: Path | None,
    *,
    offline: bool = False,
    quiet: bool = False,
    log_level: log.Level = "error",
) -> RunOutcome:
    """Run the sources of `config` to their end; write the report when asked to."""
    if not config.sources and not config.control.address:
        raise UsageError("name at least one SOURCE, on the command line or under `sources` in the configuration")
    log.configure(log_level)
    served = served_at(config)
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
                controlled=served is not None,
                log_level=log_level,
            )
            with serving(served, supervisor.control, lambda url: display.say(f"streamer: control at {url}")):
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
