"""How many crops a second a model's runner answers, by how many it is given at once; on a GPU, after `pytest -m gpu`.

python -m engines.runtime.cuda.timing FOLDER --device cuda
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click

from engines.errors import EnginesError
from engines.runtime import Device, Runner, open_runner
from engines.runtime.invariance import random_pictures
from engines.zoo import load


def crops_per_second(
    runner: Runner,
    width: int,
    height: int,
    n: int,
    *,
    seconds: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Crops a second when `infer` is called with n at a time, for at least `seconds` after a call that is not timed."""
    pictures = {"image": random_pictures(n, height, width)}
    runner.infer(pictures)
    start = clock()
    done = 0
    while (elapsed := clock() - start) < seconds or not done:
        runner.infer(pictures)
        done += n
    return done / max(elapsed, 1e-9)


def timing(name: str, *, device: Device = "cuda", precision: str = "auto", seconds: float = 2.0) -> dict[str, Any]:
    """Crops a second of an expression model: at 1, 8, 32 and, so that lanes overlap, 256 at a time."""
    model = load(name, role="expression")
    assert model.spec.crop is not None, "an expression model always has a crop geometry"
    runner = open_runner(model, precision=precision, device=device)
    try:
        crop = model.spec.crop
        rates = {
            str(n): round(crops_per_second(runner, crop.width, crop.height, n, seconds=seconds), 1)
            for n in (1, 8, 32, 256)
        }
        return {
            "model": model.spec.model_id,
            "device": runner.device,
            "precision": runner.precision,
            "crops_per_s_by_rows": rates,
        }
    finally:
        runner.close()


@click.command()
@click.argument("name", metavar="MODEL_OR_FOLDER")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda", show_default=True)
@click.option("--precision", default="auto", show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of every measurement.")
def main(name: str, device: str, precision: str, seconds: float) -> None:
    """Crops a second of an expression model, as JSON.

    Example: python -m engines.runtime.cuda.timing exported/ --device cuda
    """
    try:
        found = timing(name, device="cuda" if device == "cuda" else "cpu", precision=precision, seconds=seconds)
    except EnginesError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
