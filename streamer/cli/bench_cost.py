"""`streamer bench peers|state|batching|memory`: what the work costs, beside what others take for it."""

from __future__ import annotations

from pathlib import Path

import click

from streamer.bench.peers.catalogue import PEERS
from streamer.cli.bench_common import clips_of, give, sample, tell
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import config_option, folder_for_output, json_option, settings
from streamer.config import Config
from streamer.errors import UsageError
from streamer.messages import Mode

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)
_PEERS = tuple(peer.name for peer in PEERS)


@click.command(
    epilog="""\b
Examples:
  streamer bench peers --clip face.mp4 --judge clips/ --out bench-output
  streamer bench peers --peer afternoon --files 2 --seconds 10 --repeats 1
"""
)
@click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
@click.option(
    "--judge",
    "judged",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Judge what is seen in this video or folder of them too; may be given again.",
)
@click.option(
    "--peer",
    "names",
    type=click.Choice(_PEERS),
    multiple=True,
    help="Only this one; may be given again.  [default: all of them]",
)
@click.option("--files", "n_files", type=_COUNT, default=8, show_default=True, help="How many files we take at once.")
@click.option(
    "--seconds", "duration_s", type=_SECONDS, default=60.0, show_default=True, help="Length the clip is looped to."
)
@click.option("--resnet50", type=click.Path(path_type=Path), help="An exported ResNet50.  [default: random weights]")
@click.option(
    "--resnet50-precision",
    type=click.Choice(["auto", "bf16", "fp32", "int8"]),
    default="auto",
    show_default=True,
    help="What we run it at; the peer runs it at fp32.",
)
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Rounds; medians are given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write peers.json here.")
@config_option
@json_option
def peers(
    clip: Path | None,
    judged: tuple[Path, ...],
    names: tuple[str, ...],
    n_files: int,
    duration_s: float,
    resnet50: Path | None,
    resnet50_precision: str,
    repeats: int,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Ours against what a user would run instead, on the same file in the same run, and what each sees in clips.

    Each peer gets an environment of its own in the cache, made with uv or pip on first use (fer: 8 GB, with TensorFlow
    and torch). One that cannot be had is reported with the reason.
    """
    from streamer.bench.peers import program
    from streamer.bench.peers.table import table

    config = settings(config_path)
    if folder is not None:
        folder_for_output(folder)
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    clips = clips_of(judged)
    if resnet50 is not None and not resnet50.is_dir():
        raise UsageError(f"there is no folder {resnet50}: name one that `engines export` wrote")
    for wanted in (config, Config()):  # the loops of an afternoon run the default models, whatever we run
        ensure_models(wanted, offline=False, quiet=as_json)
    plan = program.Plan(names or _PEERS, n_files, duration_s, repeats, resnet50, resnet50_precision)
    result = program.run(clip or sample(), clips, config, plan, tell)
    give(result, table(result), folder, as_json)


@click.command(epilog="\b\nExample:\n  streamer bench state --out bench-output")
@click.option("--repeats", type=_COUNT, default=9, show_default=True, help="Chunks of each; the median is given.")
@click.option(
    "--observations", "n_observations", type=_COUNT, default=1000, show_default=True, help="How many a chunk has."
)
@click.option(
    "--before", "n_before", type=_COUNT, default=50_000, show_default=True, help="How many an old track has had."
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write state.json here.")
@json_option
def state(repeats: int, n_observations: int, n_before: int, folder: Path | None, as_json: bool) -> None:
    """CPU of STAT and of the recurrent head an observation, whether it stays flat, and the size of snapshots."""
    from streamer.bench import state as program

    if folder is not None:
        folder_for_output(folder)
    result = program.run(repeats=repeats, n_observations=n_observations, n_before=n_before, tell=tell)
    give(result, program.table(result), folder, as_json)


@click.command(epilog="\b\nExample:\n  streamer bench batching --clip face.mp4 --streams 16 --out bench-output")
@click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
@click.option("--streams", "n_streams", type=_COUNT, default=16, show_default=True, help="How many streams.")
@click.option("--children", type=_COUNT, default=1, show_default=True, help="Processes that share the streams.")
@click.option(
    "--mode",
    type=click.Choice(["archive", "live"]),
    default="archive",
    show_default=True,
    help="As fast as it goes, or at the pace of the clip.",
)
@click.option(
    "--seconds", "duration_s", type=_SECONDS, default=20.0, show_default=True, help="Length the clip is looped to."
)
@click.option(
    "--part-seconds", "part_s", type=_SECONDS, default=3.0, show_default=True, help="How long the engine is measured."
)
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Rounds; medians are given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write batching.json here.")
@config_option
@json_option
def batching(
    clip: Path | None,
    n_streams: int,
    children: int,
    mode: Mode,
    duration_s: float,
    part_s: float,
    repeats: int,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """CPU of a crop in the engine alone, as a share of what it takes with many streams, and how full batches are."""
    from streamer.bench import batching as program

    config = settings(config_path)
    if folder is not None:
        folder_for_output(folder)
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    ensure_models(config, offline=False, quiet=as_json)
    plan = program.Plan(n_streams, children, duration_s, part_s, repeats, mode)
    result = program.run(clip or sample(), config, plan, tell)
    give(result, program.table(result), folder, as_json)


@click.command(epilog="\b\nExample:\n  streamer bench memory --frames 108000 --out bench-output")
@click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
@click.option(
    "--streams",
    type=_COUNT,
    multiple=True,
    help="Look at so many streams; may be given again.  [default: 1, 2, 4, 8 and 16]",
)
@click.option("--fps", type=_SECONDS, default=5.0, show_default=True, help="Frames a second analysed of each.")
@click.option(
    "--settle-s",
    type=_SECONDS,
    default=10.0,
    show_default=True,
    help="Seconds until a look at memory, and how long.",
)
@click.option(
    "--frames",
    type=_COUNT,
    default=108_000,
    show_default=True,
    help="Frames at speed; as given, an hour of video.",
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write memory.json here.")
@json_option
def memory(
    clip: Path | None,
    streams: tuple[int, ...],
    fps: float,
    settle_s: float,
    frames: int,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Resident memory of a worker: idle, for each stream more, and over many frames: 1 where it grows."""
    from streamer.bench import memory as program

    if len(streams) == 1:
        raise UsageError("name two numbers of --streams at least: one more is what is asked for")
    if folder is not None:
        folder_for_output(folder)
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    ensure_models(Config(), offline=False, quiet=as_json)
    plan = program.Plan(streams or (1, 2, 4, 8, 16), fps, settle_s, frames)
    result = program.run(clip or sample(), Config(), plan, tell)
    give(result, program.table(result), folder, as_json)
    return 0 if result["at_speed"]["flat"] else 1
