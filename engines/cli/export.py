"""`engines export`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import msgspec

from engines.cli.output import say_json
from engines.errors import WrongUse


@click.command(
    epilog="""\b
Examples:
  engines export runs/model4 --out model4 --licence "research only"
  engines export --weights rafdb.pth --backbone resnet50-vggface2 \\
      --class-order Surprise,Fear,Disgust,Happy,Sad,Angry,Neutral --out rafdb
  engines export --random-weights paper-6 --out speed
"""
)
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write the model to.")
@click.option(
    "--random-weights", metavar="MODEL", help="Untrained weights of a paper model (1 to 6, or its name) or a backbone."
)
@click.option("--weights", type=click.Path(path_type=Path), help="A public file of a backbone's weights.")
@click.option("--backbone", metavar="NAME", help="Network for --weights and --random-weights.")
@click.option("--input-size", default=224, show_default=True, help="Its crops' side in px.")
@click.option("--class-order", metavar="A,B,...", help="What the seven rows of the file's last layer mean.")
@click.option(
    "--crop", type=click.Choice(["box", "five_point"]), default="box", show_default=True, help="How a face is cut."
)
@click.option("--margin", default=0.0, show_default=True, help="By how much of its side a box is widened.")
@click.option(
    "--calibrate/--no-calibrate",
    default=None,
    help="Fit the temperature on the run's validation set.  [default: for a run, yes]",
)
@click.option("--name", help="The model's name in records.  [default: the run's]")
@click.option("--version", default="1", show_default=True, help="The model's version in records.")
@click.option("--licence", help="On what terms the weights may be used.")
@click.option("--trained-on", help="What the weights were trained on.  [default: the run's data sets]")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def export(
    run: Path | None,
    out: Path,
    random_weights: str | None,
    weights: Path | None,
    backbone: str | None,
    input_size: int,
    class_order: str | None,
    crop: str,
    margin: float,
    calibrate: bool | None,
    name: str | None,
    version: str,
    licence: str | None,
    trained_on: str | None,
    as_json: bool,
) -> None:
    """Write a model as the streamer runs it: ONNX, specs, a card; proved against torch before it stays.

    RUN is a folder that `engines train` wrote. Then: streamer run VIDEO --model FOLDER.
    """
    if sum(given is not None for given in (run, random_weights, weights)) != 1:
        raise WrongUse("name one of: a training folder, --weights FILE, --random-weights MODEL")
    if calibrate and run is None:
        raise WrongUse("--calibrate needs a training folder: it names the validation set")

    from engines.shipping.export import aligned_crop, box_crop, export_model
    from engines.shipping.sources import (
        PAPER_BACKBONE,
        Words,
        backbone_config,
        calibrated,
        from_run,
        from_weights,
        random_model,
    )
    from engines.spec import Calibration

    words = Words(name, version, licence, trained_on)
    if run is not None:
        if backbone is not None or class_order is not None:
            raise WrongUse("a training folder says itself which backbone and classes it has")
        source = from_run(run, words)
    elif weights is not None:
        order = None if class_order is None else [word.strip() for word in class_order.split(",")]
        source = from_weights(weights, backbone_config(backbone or PAPER_BACKBONE, input_size), order, words)
    else:
        source = random_model(str(random_weights), backbone, input_size, words)
    calibration = Calibration()
    if run is not None and calibrate is not False:
        click.echo("fitting the temperature on the validation set (--no-calibrate leaves it out)", err=True)
        calibration = calibrated(source)
        click.echo(f"temperature {calibration.temperature:.3f}: {calibration.fitted}", err=True)
    side = source.backbone.input_size_px
    geometry = box_crop(side, margin) if crop == "box" else aligned_crop(side)
    done = export_model(source.backbone, source.head, out, source.about, crop=geometry, calibration=calibration)
    if as_json:
        say_json(msgspec.to_builtins(dataclasses.asdict(done) | {"folder": str(done.folder)}))
        return
    for part, difference in done.differences.items():
        click.echo(f"{part:14} differs from torch's by at most {difference:.1e}")
    ids = [done.backbone.model_id, *([done.head.model_id] if done.head else [])]
    click.echo(f"{' + '.join(ids)} written to {out}")
