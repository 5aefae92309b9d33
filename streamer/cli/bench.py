"""`streamer bench`: what this machine does with this software, as ratios measured in one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from engines.zoo.sample import fetch_sample
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import config_option, folder_for_output, json_option, settings
from streamer.errors import UsageError

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.group(epilog="\b\nExample:\n  streamer bench throughput --out bench-output")
def bench() -> None:
    """Measure this machine with this software."""


@bench.command(epilog="\b\nExample:\n  streamer bench throughput --clip face.mp4 --out bench-output")
@click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
@click.option("--files", "n_files", type=_COUNT, default=8, show_default=True, help="How many files at once.")
@click.option(
    "--seconds", "duration_s", type=_SECONDS, default=60.0, show_default=True, help="Length the clip is looped to."
)
@click.option(
    "--part-seconds", "part_s", type=_SECONDS, default=3.0, show_default=True, help="How long to measure each part."
)
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Rounds; the median is given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write throughput.json here.")
@config_option
@json_option
def throughput(
    clip: Path | None,
    n_files: int,
    duration_s: float,
    part_s: float,
    repeats: int,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Archive frames per second, as a share of what the parts alone would allow."""
    from streamer.bench import throughput as program

    config = settings(config_path)
    if folder is not None:
        folder_for_output(folder)  # said before the work, not after it
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    ensure_models(config, offline=False, quiet=as_json)
    chosen = clip or fetch_sample(progress=lambda text: click.echo(text, err=True))
    result = program.run(
        chosen,
        config,
        n_files=n_files,
        duration_s=duration_s,
        part_s=part_s,
        repeats=repeats,
        tell=lambda text: click.echo(text, err=True),
    )
    _give(result, program.table(result), folder, as_json)


@bench.command(epilog="\b\nExample:\n  streamer bench tracking --out bench-output")
@click.option("--scenes", "n_scenes", type=_COUNT, default=40, show_default=True, help="How many scenes to make up.")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same scenes.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write tracking.json here.")
@json_option
def tracking(n_scenes: int, seed: int, folder: Path | None, as_json: bool) -> None:
    """Identity switches, fragmentations and IDF1 on made-up crossings and occlusions."""
    from streamer.bench import tracking as program

    result = program.run(seed=seed, n_scenes=n_scenes)
    _give(result, json.dumps(result, indent=2), folder, as_json)


def _give(result: dict[str, Any], text: str, folder: Path | None, as_json: bool) -> None:
    click.echo(json.dumps(result) if as_json else text)
    if folder is not None:
        (folder_for_output(folder) / f"{result['bench']}.json").write_text(
            json.dumps(result, indent=2) + "\n", encoding="utf-8"
        )
