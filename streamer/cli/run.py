"""`streamer run`: one machine, any number of sources, no broker needed.

What is imported here comes before the first child is begun; the rest of the command is in `running`.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamer import log
from streamer.cli.frame_options import frame_options
from streamer.cli.options import (
    bus_option,
    config_option,
    json_option,
    log_format_option,
    metrics_option,
    settings,
)
from streamer.source import redacted
from streamer.worker.children import Children


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
@metrics_option
@click.option("--offline", is_flag=True, help="Fetch no models; use what is in the cache.")
@click.option("--quiet", is_flag=True, help="No progress display and no summary; errors are told still.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="error",
    show_default=True,
    help="Which log events go to standard error, with those that are worse.",
)
@log_format_option
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
    metrics: str | None,
    run_name: str | None,
    report_path: Path | None,
    children: int | None,
    offline: bool,
    quiet: bool,
    log_level: log.Level,
    log_format: log.Format,
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
        metrics__address=metrics,
    )
    with Children() as processes:
        if config.sources:
            processes.begin()
        from streamer.cli import running  # takes as long as the child takes to load what it needs

        outcome = running.run_config(
            config,
            run_name,
            report_path,
            offline=offline,
            quiet=quiet or as_json,
            log_level=log_level,
            log_format=log_format,
            children=processes,
        )
    if as_json:
        click.echo(json.dumps(running.outcome_as_json(outcome, config, report_path), ensure_ascii=True))
        return running.exit_code(outcome)
    running.tell(outcome, quiet=quiet)
    if not quiet:
        click.echo(f"records   {redacted(config.bus)}")
        if report_path and outcome.runs:
            click.echo(f"report    {report_path}")
    return running.exit_code(outcome)
