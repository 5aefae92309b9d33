"""`engines compare`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from engines.cli.output import say_json


@click.command(
    epilog="""\b
Examples:
  engines compare runs/model4 model4 --crops crops/
  engines compare model4@fp32 model4@bf16 model4@int8 --crops crops/ --json
  engines compare model4@fp32 model4@tensorrt --crops crops/
"""
)
@click.argument("reference", metavar="A")
@click.argument("candidates", metavar="B...", nargs=-1, required=True)
@click.option(
    "--crops",
    type=click.Path(path_type=Path),
    help="Faces: a folder of crops or clips, a clip, or an .npy file (N,H,W,3).  [default: the sample clip]",
)
@click.option("--limit", default=400, show_default=True, help="At most so many crops are used, spread over all.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that models are kept in.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def compare(
    reference: str, candidates: tuple[str, ...], crops: Path | None, limit: int, cache: Path | None, as_json: bool
) -> int:
    """Hold B against A, output by output, over the same crops. Exit code 1 when one is beyond its limits.

    A and B are MODEL@ENGINE: a training folder with torch, or a folder of `engines export` or a name of the zoo with
    fp32, bf16, fp16, int8 (OpenVINO), tensorrt (a plan on a GPU) or cuda (a plan, else torch, on a GPU). Without an
    engine a training folder runs in torch, all else in fp32.
    """
    from engines.shipping.comparison import as_text, compare_sides, geometry_of
    from engines.shipping.crops import read_crops
    from engines.shipping.sides import open_side
    from engines.zoo.sample import fetch_sample

    with ExitStack() as stack:
        sides = [stack.enter_context(open_side(name, cache=cache)) for name in (reference, *candidates)]
        faces = read_crops(crops or fetch_sample(cache=cache), geometry_of(sides), limit=limit, cache=cache)
        compared = compare_sides(sides[0], sides[1:], faces)
    if as_json:
        say_json([one.plain() for one in compared])
    else:
        click.echo("\n\n".join(as_text(one) for one in compared))
    return 0 if all(one.fidelity.good for one in compared) else 1
