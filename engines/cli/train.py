"""`engines train`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from engines.cli.output import say_json


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The training folder.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, dotted: model.window=32."
)
@click.option(
    "--resume",
    type=click.Choice(["auto", "no"]),
    default="no",
    show_default=True,
    help="auto: go on from the folder's last checkpoint if there is one.",
)
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="Processes, one on each device.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def train(config: Path, out: Path, overrides: tuple[str, ...], resume: str, devices: int, as_json: bool) -> None:
    """Train a model as a file of settings says.

    Ctrl-C writes a checkpoint first; `--resume auto` goes on from there. Under torchrun leave --devices out.

    Example: engines train configs/training/paper-4.yaml --out runs/paper-4 --resume auto
    """
    if devices > 1 and "WORLD_SIZE" not in os.environ:
        from engines.training.ranks import launch

        sys.exit(launch(devices, _command(config, out, overrides, resume, as_json)))

    import dataclasses

    from rich.console import Console

    from engines.training.config import read_train_config
    from engines.training.ranks import join_ranks
    from engines.training.run import run_training
    from engines.training.watching import Display

    wanted = read_train_config(config, overrides)
    stopping = _stop_politely()
    ranks = join_ranks(wanted.device)
    console = Console(stderr=True, quiet=not ranks.first)
    unit = "sequences" if wanted.on_sequences else "pictures"
    try:
        with Display(console, unit=unit, per_step=wanted.batch_size) as display:
            result = run_training(
                wanted, out, resume=resume == "auto", ranks=ranks, display=display, stop=lambda: bool(stopping)
            )
    finally:
        ranks.close()
    if not ranks.first:
        return
    best = next((row for row in result.rows if row["epoch"] == result.best_epoch), None)
    if as_json:
        say_json({"folder": str(out), **dataclasses.asdict(result), "best": best})
        return
    early = ", stopped early" if result.stopped_early else ""
    click.echo(f"{out}: best score {result.best_score:.4f} in epoch {result.best_epoch} of {len(result.rows)}{early}")


def _command(config: Path, out: Path, overrides: tuple[str, ...], resume: str, as_json: bool) -> list[str]:
    command = [sys.executable, "-m", "engines.cli", "train", str(config), "--out", str(out), "--resume", resume]
    for override in overrides:
        command += ["--set", override]
    return command + (["--json"] if as_json else [])


def _stop_politely() -> list[int]:
    """A list that is empty until the first SIGINT or SIGTERM; the second one interrupts at once."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    signal.signal(signal.SIGINT, receive)
    signal.signal(signal.SIGTERM, receive)
    return received
