"""`streamer bench plan`: whether the simulator of `streamer plan` says what this machine then does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from streamer.cli.bench_common import give, sample, tell
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import config_option, folder_for_output, json_option, settings
from streamer.cli.plan import size_of
from streamer.errors import UsageError
from streamer.plan.costs import read_costs

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.command(epilog="\b\nExample:\n  streamer bench plan --streams 1 --streams 16 --repeats 3 --out bench-output")
@click.option(
    "--streams",
    type=_COUNT,
    multiple=True,
    default=(1, 2, 4, 8, 16),
    show_default=True,
    help="How many streams at once; may be given again.",
)
@click.option("--fps", type=_COUNT, default=25, show_default=True, help="Frames a second of each.")
@click.option("--size", default="640x360", show_default=True, metavar="WxH", help="Of their pictures, in pixels.")
@click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
@click.option(
    "--costs",
    "costs_path",
    type=click.Path(path_type=Path),
    help="Simulate with the costs in this file instead of measuring them first.",
)
@click.option(
    "--part-seconds", "part_s", type=_SECONDS, default=2.0, show_default=True, help="How long to measure each part."
)
@click.option(
    "--seconds", "measure_s", type=_SECONDS, default=15.0, show_default=True, help="How long to measure each run."
)
@click.option("--repeats", type=_COUNT, default=1, show_default=True, help="Rounds; medians are given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write plan.json here.")
@config_option
@json_option
def plan(
    streams: tuple[int, ...],
    fps: int,
    size: str,
    clip: Path | None,
    costs_path: Path | None,
    part_s: float,
    measure_s: float,
    repeats: int,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """The simulator of `streamer plan` against real live streams: 1 where an error is beyond 15 %."""
    from streamer.bench import planning as program
    from streamer.bench.calibration import Showing

    config = settings(config_path)
    width, height = size_of(size)
    if width % 2 or height % 2:
        raise UsageError(f"--size {size} cannot be shown: videos have even widths and heights")
    if folder is not None:
        folder_for_output(folder)
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    costs = None if costs_path is None else read_costs(costs_path)
    ensure_models(config, offline=False, quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="affect-streamer-plan-") as place:
        result = program.run(
            Showing(clip or sample(), Path(place), width, height, measure_s),
            config,
            streams=sorted(set(streams)),
            fps=fps,
            part_s=part_s,
            repeats=repeats,
            costs=costs,
            tell=tell,
        )
    give(result, program.table(result), folder, as_json)
    return 0 if result["good"] else 1
