"""`engines temporal`: the default temporal head, from real tracks and simulators to the table that decides."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def temporal() -> None:
    """Train and judge the temporal head that comes with the package.

    Example: engines temporal train --config configs/temporal/head.yaml --out temporal
    """


@temporal.command("train")
@click.option("--config", type=_PATH, help="Settings in YAML.  [default: those in the code]")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the head and the tuned filters.")
def train_command(config: Path | None, out: Path) -> None:
    """Train the head on simulated tracks, on one thread, and tune the filters it is measured against.

    Example: engines temporal train --config configs/temporal/head.yaml --out temporal
    """
    from engines.temporal.making import make
    from engines.temporal.residuals import ResidualTracks, load_tracks
    from engines.temporal.training import load_settings

    def tell(step: int, loss: float) -> None:
        click.echo(f"step {step:5d}  loss {loss:.4f}", err=True)

    spec = make(load_settings(config), ResidualTracks(load_tracks()), out, tell)
    click.echo(f"{out / 'temporal.json'}  {spec.model_id}")


@temporal.command("judge")
@click.argument("folder", type=_FOLDER)
@click.option("--seeds", default=8, show_default=True, type=click.IntRange(min=2), help="Sets of tracks.")
@click.option("--tracks", default=100, show_default=True, type=click.IntRange(min=1), help="Tracks of a set.")
@click.option("--observations", default=400, show_default=True, type=click.IntRange(min=32), help="Of a track.")
@click.option("--out", type=_PATH, help="Also write the table as JSON here, and as Markdown beside it.")
def judge_command(folder: Path, seeds: int, tracks: int, observations: int, out: Path | None) -> None:
    """Judge the head that `train` wrote into FOLDER on the second simulator and on splices of real footage.

    Example: engines temporal judge temporal --out temporal/table.json
    """
    import msgspec

    from engines.temporal.deciding import judge_folder, table_markdown
    from engines.zoo.cache import write_atomically

    table = judge_folder(folder, seeds=seeds, tracks=tracks, observations=observations)
    if out is not None:
        write_atomically(out, msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
        write_atomically(out.with_suffix(".md"), table_markdown(table).encode())
    click.echo(table_markdown(table))


@temporal.command("ship")
@click.argument("folder", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder of the heads that come with the package.")
def ship_command(folder: Path, out: Path) -> None:
    """Put the head in FOLDER, judged with `--out FOLDER/table.json`, where the package ships it, with its model card.

    Example: engines temporal ship temporal --out engines/zoo/shipped
    """
    from engines.temporal.card import ship

    ship(folder, out)


@temporal.command("degrade")
@click.argument("clips", nargs=-1, required=True, type=_PATH)
@click.option("--out", type=_FOLDER, required=True, help="Folder for the copies.")
@click.option("--copies", default=6, show_default=True, type=click.IntRange(min=1), help="Of each clip.")
def degrade_command(clips: tuple[Path, ...], out: Path, copies: int) -> None:
    """Write copies of CLIPS with episodes of blur, darkness, coarseness, tilt and cover, for `tracks`.

    Example: engines temporal degrade clips/*.mp4 --out worse
    """
    import numpy as np

    from engines.temporal.footage import write_degraded

    out.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        for copy in range(copies):
            write_degraded(clip, out / f"{clip.stem}-worse{copy}.mkv", np.random.default_rng((31, copy)))


@temporal.command("tracks")
@click.argument("exports", nargs=-1, required=True, type=_PATH)
@click.option("--out", type=_PATH, required=True, help="The .npz to write.")
@click.option("--stream", "streams", multiple=True, help="Streams to take, by the beginning of their name.  [all]")
def tracks_command(exports: tuple[Path, ...], out: Path, streams: tuple[str, ...]) -> None:
    """Keep the real tracks in EXPORTS, the JSON Lines of `streamer export`, as a small file of numbers.

    Example: engines temporal tracks observations.jsonl --stream carphone --out residual_tracks.npz
    """
    from engines.temporal.residuals import save_tracks, tracks_of_export

    found = [track for export in exports for track in tracks_of_export(export)]
    taken = [track for track in found if not streams or track.name.startswith(streams)]
    save_tracks(out, taken)
    n_observations = sum(len(track.times_s) for track in taken)
    click.echo(f"{out}: {len(taken)} tracks, {n_observations} observations")
