"""`streamer bench streams`, `latency` and `startup`: live load on this machine, and how soon it begins."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from streamer.bench.broker import Broker
from streamer.cli.bench_common import give, sample, tell
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import config_option, folder_for_output, json_option, settings
from streamer.config import Config
from streamer.errors import UsageError

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)
_clip = click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
_kafka = click.option(
    "--kafka",
    "libs",
    type=click.Path(path_type=Path),
    metavar="LIBS",
    help="Measure on a real broker, of the jars in this folder; latency there too.",
)
_rtsp = click.option("--rtsp", is_flag=True, help="Watch a real RTSP camera instead of files shown live.")
_linger = click.option(
    "--linger-ms",
    type=click.FloatRange(min=0),
    metavar="MS",
    help="How long live records wait for company.  [default: checkpoint.live_flush_s]",
)


@click.command(
    epilog="""\b
Examples:
  streamer bench streams --out bench-output
  streamer bench streams --seconds 30 --repeats 3 --rtsp
"""
)
@_clip
@click.option("--fps", type=_COUNT, default=30, show_default=True, help="Frames a second of each stream.")
@click.option("--seconds", "measure_s", type=_SECONDS, default=20.0, show_default=True, help="How long a trial counts.")
@click.option("--warm-up", "warm_s", type=_SECONDS, default=5.0, show_default=True, help="Seconds before that.")
@click.option(
    "--part-seconds", "part_s", type=_SECONDS, default=3.0, show_default=True, help="How long to measure each part."
)
@click.option("--first", type=_COUNT, metavar="N", help="Begin the search here.  [default: 80 % of the bound]")
@click.option("--most", type=_COUNT, metavar="N", help="Try no more than so many.")
@click.option("--repeats", type=_COUNT, default=1, show_default=True, help="Searches; medians are given.")
@_kafka
@_rtsp
@_linger
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write streams.json here.")
@config_option
@json_option
def streams(
    clip: Path | None,
    fps: int,
    measure_s: float,
    warm_s: float,
    part_s: float,
    first: int | None,
    most: int | None,
    repeats: int,
    libs: Path | None,
    rtsp: bool,
    linger_ms: float | None,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """How many live 360p streams are held without loss, as a share of what CPU time allows: 1 where it is too few."""
    from streamer.bench import load
    from streamer.bench import streams as program

    config = _settings(config_path, linger_ms)
    plan = load.Plan(0, fps, measure_s, warm_s, rtsp)
    load.check(plan)
    chosen = _ready(config, clip, folder, as_json)
    with _broker(libs) as broker:
        result = program.run(
            chosen,
            config,
            plan,
            part_s=part_s,
            repeats=repeats,
            first=first,
            most=most or program.MOST_STREAMS,
            broker=broker,
            tell=tell,
        )
    give(result, None, folder, as_json)
    return 0 if result["good"] else 1


@click.command(
    epilog="""\b
Examples:
  streamer bench latency --streams 4 --out bench-output
  streamer bench latency --kafka kafka_2.13-4.1.1/libs --linger-ms 50
"""
)
@_clip
@click.option("--streams", "n_streams", type=_COUNT, default=4, show_default=True, help="How many streams.")
@click.option("--fps", type=_COUNT, default=30, show_default=True, help="Frames a second of each stream.")
@click.option("--seconds", "measure_s", type=_SECONDS, default=20.0, show_default=True, help="How long a round counts.")
@click.option("--warm-up", "warm_s", type=_SECONDS, default=5.0, show_default=True, help="Seconds before that.")
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Rounds; medians are given.")
@_kafka
@_rtsp
@_linger
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write latency.json here.")
@config_option
@json_option
def latency(
    clip: Path | None,
    n_streams: int,
    fps: int,
    measure_s: float,
    warm_s: float,
    repeats: int,
    libs: Path | None,
    rtsp: bool,
    linger_ms: float | None,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """From the arrival of a packet to the acknowledgement of its records, stage by stage: 1 where it is too long."""
    from streamer.bench import latency as program
    from streamer.bench import load

    config = _settings(config_path, linger_ms)
    plan = load.Plan(n_streams, fps, measure_s, warm_s, rtsp)
    load.check(plan)
    chosen = _ready(config, clip, folder, as_json)
    with _broker(libs) as broker:
        result = program.run(chosen, config, plan, repeats=repeats, broker=broker, tell=tell)
    give(result, None, folder, as_json)
    return 0 if result["good"] else 1


@click.command(
    epilog="""\b
Examples:
  streamer bench startup --out bench-output
  streamer bench startup --model face-api --model exports/mine --repeats 10
"""
)
@_clip
@click.option(
    "--model",
    "models",
    metavar="NAME|FOLDER",
    multiple=True,
    help="Expression model; may be given again.  [default: face-api]",
)
@click.option(
    "--mode", type=click.Choice(["live", "archive"]), default="archive", show_default=True, help="How it is watched."
)
@click.option("--children", type=_COUNT, default=1, show_default=True, help="Worker processes.")
@click.option("--repeats", type=_COUNT, default=5, show_default=True, help="Starts of each; medians are given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write startup.json here.")
@json_option
def startup(
    clip: Path | None,
    models: tuple[str, ...],
    mode: str,
    children: int,
    repeats: int,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Seconds from the command to its first record, with the models in the cache: 1 where they are too many."""
    from streamer.bench import startup as program

    wanted = models or (Config().models.expression,)
    if len(set(wanted)) != len(wanted):
        raise UsageError("a --model is named twice: name each once")
    chosen = clip
    for model in wanted:
        chosen = _ready(settings(None, models__expression=model), clip, folder, as_json)
    assert chosen is not None, "there is one model at least"
    result = program.run(chosen, wanted, mode=mode, repeats=repeats, children=children, tell=tell)
    give(result, None, folder, as_json)
    return 0 if result["good"] else 1


@contextmanager
def _broker(libs: Path | None) -> Iterator[Broker | None]:
    """A broker of the jars in `libs` for as long; None where none is asked for."""
    if libs is None:
        yield None
        return
    from streamer.bench.broker import start

    with tempfile.TemporaryDirectory(prefix="affect-streamer-broker-") as place:
        broker = start(libs, Path(place) / "kafka")
        try:
            yield broker
        finally:
            broker.stop()


def _settings(config_path: Path | None, linger_ms: float | None) -> Config:
    config = settings(config_path)
    if linger_ms is None:
        return config
    checkpoint = msgspec.structs.replace(config.checkpoint, live_flush_s=linger_ms / 1000)
    return msgspec.structs.replace(config, checkpoint=checkpoint)


def _ready(config: Config, clip: Path | None, folder: Path | None, as_json: bool) -> Path:
    """What would stop the work later is said before it; the clip to use."""
    if folder is not None:
        folder_for_output(folder)
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    ensure_models(config, offline=False, quiet=as_json)
    return (clip or sample()).resolve()
