"""`streamer plan`: how many workers for so many cameras, from what this machine, or one measured before, costs."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import click

from streamer import machine
from streamer.cli.bench_common import sample, tell
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import config_option, json_option, settings
from streamer.config import Config
from streamer.errors import UsageError
from streamer.plan.costs import Costs, read_costs, write_costs

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


@click.command(
    epilog="""\b
Examples:
  streamer plan --streams 1000 --fps 10 --size 640x360 --faces 1
  streamer plan --streams 200 --fps 25 --sample-fps 5 --size 1280x720 --save costs.json
  streamer plan --streams 1000 --fps 10 --costs costs.json --cores 16 --json
"""
)
@click.option("--streams", "n_streams", type=_COUNT, required=True, help="How many cameras in all.")
@click.option("--fps", type=_SECONDS, required=True, help="Frames a second of each camera.")
@click.option("--size", default="640x360", show_default=True, metavar="WxH", help="Of their pictures, in pixels.")
@click.option("--faces", type=click.FloatRange(min=0), default=1.0, show_default=True, help="In a frame, on average.")
@click.option("--sample-fps", type=_SECONDS, help="Analyse so many frames a second at most.  [default: every frame]")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0),
    help="Seconds between searches of the whole frame; 0 is every frame.  [default: that of the configuration]",
)
@click.option("--cores", type=_COUNT, help="Cores of a worker.  [default: those of the machine that was measured]")
@click.option(
    "--children", type=click.IntRange(min=0), help="Processes of a worker that analyse.  [default: one a core]"
)
@click.option(
    "--head-room",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.7,
    show_default=True,
    help="The share of its cores that a worker is to use at most.",
)
@click.option("--partitions", type=_COUNT, help="Partitions of the stream topics.  [default: what is suggested]")
@click.option(
    "--costs",
    "costs_path",
    type=click.Path(path_type=Path),
    help="Plan with the costs in this file instead of measuring this machine.",
)
@click.option("--save", "saved", type=click.Path(path_type=Path), help="Write what was measured here, for --costs.")
@click.option("--clip", type=click.Path(path_type=Path), help="Measure with this video.  [default: the sample clip]")
@click.option(
    "--part-seconds", "part_s", type=_SECONDS, default=1.0, show_default=True, help="How long to measure each part."
)
@click.option(
    "--seconds", "measure_s", type=_SECONDS, default=6.0, show_default=True, help="How long to measure each live run."
)
@click.option("--simulate", "simulate_s", type=_SECONDS, default=30.0, show_default=True, help="Virtual seconds.")
@click.option("--seed", default=0, show_default=True, help="The same seed simulates the same.")
@config_option
@json_option
def plan(
    n_streams: int,
    fps: float,
    size: str,
    faces: float,
    sample_fps: float | None,
    interval_s: float | None,
    cores: int | None,
    children: int | None,
    head_room: float,
    partitions: int | None,
    costs_path: Path | None,
    saved: Path | None,
    clip: Path | None,
    part_s: float,
    measure_s: float,
    simulate_s: float,
    seed: int,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Say how many workers so many cameras need, and what they bring to the bus.

    What a frame costs is measured first, here and now, in one to two minutes; --save keeps it. A simulation of the real
    batching and placement then finds how many streams one core, one worker and the fleet hold.
    """
    from streamer.plan.answer import Question, answer, table
    from streamer.plan.fleet import WorkerKind
    from streamer.plan.load import StreamLoad

    config = settings(config_path)
    width, height = size_of(size)
    if costs_path is not None and saved is not None:
        raise UsageError("--save keeps what is measured, and with --costs nothing is: leave one of them out")
    if saved is not None and not saved.absolute().parent.is_dir():
        raise UsageError(
            f"there is no folder {saved.parent} to write {saved.name} to; choose another place with --save"
        )
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    if costs_path is not None:
        costs = read_costs(costs_path)
    else:
        costs = measured(config, clip, width, height, part_s=part_s, measure_s=measure_s, quiet=as_json)
        if saved is not None:
            write_costs(costs, saved)
    result = answer(
        Question(
            n_streams=n_streams,
            load=StreamLoad(fps, width, height, faces, config.frames.sample_fps if sample_fps is None else sample_fps),
            kind=WorkerKind(cores or costs.cores, config.worker.children if children is None else children),
            head_room=head_room,
            interval_s=config.detect.interval_s if interval_s is None else interval_s,
            partitions=partitions,
            duration_s=simulate_s,
            seed=seed,
        ),
        costs,
        config,
    )
    click.echo(json.dumps(result) if as_json else table(result))


def size_of(text: str) -> tuple[int, int]:
    """Width and height in pixels. Raises `UsageError` for anything else."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"--size {text} is no size: write width x height in pixels, as 640x360")
    return int(found[1]), int(found[2])


def measured(
    config: Config, clip: Path | None, width: int, height: int, *, part_s: float, measure_s: float, quiet: bool
) -> Costs:
    """This machine's costs at that size of picture."""
    from streamer.bench.calibration import Showing, calibrate

    if width % 2 or height % 2:
        raise UsageError(f"--size {width}x{height} cannot be measured: videos have even widths and heights")
    ensure_models(config, offline=False, quiet=quiet)
    tell(f"measuring this machine ({machine.n_cores()} cores): leave it alone meanwhile")
    with tempfile.TemporaryDirectory(prefix="affect-streamer-plan-") as place:
        showing = Showing(clip or sample(), Path(place), width, height, measure_s)
        return calibrate(showing, config, part_s=part_s, tell=tell)
