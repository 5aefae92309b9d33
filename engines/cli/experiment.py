"""`engines experiment`: what is shown on drawn faces."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import click


@click.group()
def experiment() -> None:
    """Experiments on drawn faces, for development; never evidence about people.

    Example: engines experiment paper --out runs/paper-synthetic
    """


@experiment.command("paper")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the results.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many; other people for each.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Seeds at once, a thread each.")
@click.option(
    "--noise", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="How often a view is spoilt."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def paper(out: Path, seeds: int, processes: int, noise: float, as_json: bool) -> None:
    """Train the paper's six models on drawn videos and compare them, with frames in time and shuffled.

    Writes paper-synthetic.json and paper-synthetic.md. Takes about five minutes of CPU a seed, and no data.

    Example: engines experiment paper --out runs/paper-synthetic --seeds 3
    """
    import msgspec

    from engines.cli.output import say_json
    from engines.errors import WrongUse
    from engines.evaluation.experiment import PaperExperiment, run_paper
    from engines.evaluation.experiment_report import markdown, report

    settings = PaperExperiment(seeds=tuple(range(1, seeds + 1)))
    settings = msgspec.structs.replace(settings, data=msgspec.structs.replace(settings.data, noise=noise))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"{out} cannot be made ({error.strerror}); name a folder that can be written to") from error
    began_s = time.monotonic()
    results = run_paper(settings, processes=processes, say=_say)
    found: dict[str, Any] = report(
        settings,
        results,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=f"engines experiment paper --out OUT --seeds {seeds} --processes {processes} --noise {noise:g}",
        wall_s=time.monotonic() - began_s,
        processes=processes,
    )
    (out / "paper-synthetic.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    text = markdown(found)
    (out / "paper-synthetic.md").write_text(text, encoding="utf-8")
    if as_json:
        say_json(found)
    else:
        click.echo(text, nl=False)


@experiment.command("synthetic-sheet")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The picture to write (PNG)."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which people.")
@click.option("--people", type=click.IntRange(1, 32), default=7, show_default=True, help="Rows of faces.")
@click.option("--side", type=click.IntRange(32, 512), default=128, show_default=True, help="Side of a face in pixels.")
def synthetic_sheet(out: Path, seed: int, people: int, side: int) -> None:
    """Draw a page of made-up faces: the seven expressions, then consecutive frames with their noise.

    Example: engines experiment synthetic-sheet --out faces.png
    """
    import cv2

    from engines.data.synthetic import SyntheticConfig, contact_sheet
    from engines.errors import WrongUse

    sheet = contact_sheet(SyntheticConfig(seed=seed, fps=5.0), n_identities=people, side_px=side)
    written, png = cv2.imencode(".png", sheet[:, :, ::-1])
    assert written
    try:
        out.write_bytes(png.tobytes())
    except OSError as error:
        raise WrongUse(f"{out} cannot be written: {error.strerror}") from error


def _say(text: str) -> None:
    """A line of progress; at the top of the module, so that other processes can be told to use it."""
    click.echo(text, err=True)
