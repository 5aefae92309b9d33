"""`engines quantize`."""

from __future__ import annotations

from pathlib import Path

import click

from engines.cli.output import say_json


@click.command(
    epilog="""\b
Examples:
  engines quantize model4 --crops crops/
  engines quantize model4 --crops recordings/ --drop 0.02 --json
"""
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--crops",
    required=True,
    type=click.Path(path_type=Path),
    help="Faces to calibrate on: a folder of crops or clips, a clip, or an .npy file (N,H,W,3).",
)
@click.option("--limit", default=400, show_default=True, help="At most so many crops are used, spread over all.")
@click.option("--drop", default=0.03, show_default=True, help="Largest share of clear labels that may change.")
@click.option("--keep-anyway", is_flag=True, help="Write it although it was refused; its spec says so.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that models are kept in.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def quantize(
    folder: Path, crops: Path, limit: int, drop: float, keep_anyway: bool, cache: Path | None, as_json: bool
) -> int:
    """Add an int8 network to an exported FOLDER, for `--precision int8`.

    A quarter of the crops judges what was calibrated on the others. Refused, with exit code 1 and the figures, when it
    answers otherwise than fp32 or is slower here than bf16 (fp32 where the CPU has no bf16).
    """
    from engines.shipping.crops import read_crops
    from engines.shipping.quantize import quantize_export
    from engines.zoo.exports import spec_of_export

    spec = spec_of_export(folder)
    assert spec.crop is not None, "an exported backbone has a crop"
    faces = read_crops(crops, spec.crop, limit=limit, cache=cache)
    done = quantize_export(
        folder, faces, drop=drop, keep_anyway=keep_anyway, say=lambda text: click.echo(text, err=True)
    )
    if as_json:
        say_json(done.plain())
    else:
        click.echo(done.as_text())
    for refusal in done.refusals:
        click.echo(f"engines: {folder} in int8 was refused: {refusal}", err=True)
    return 0 if done.written else 1
