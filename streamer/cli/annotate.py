"""`streamer annotate`: the video with what a run saw drawn in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from streamer.annotate import Annotated, Progress, annotate
from streamer.bus.open import open_bus
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.cli.words import clock_span, counted
from streamer.progress import ProgressDisplay, StreamProgress, printable
from streamer.source import redacted
from streamer.worker.signals import signals_to


@click.command(
    "annotate",
    epilog="""\b
Examples:
  streamer annotate talk.mp4
  streamer annotate talk.mp4 --out shown.mp4 --run first --bus kafka://localhost:9092
  streamer annotate talk.mp4 --thumbnails faces/
""",
)
@click.argument("video", metavar="VIDEO")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The mp4 to write.  [default: VIDEO-annotated.mp4 in this folder]",
)
@click.option("--run", "run", metavar="ID", help="Draw this run.  [default: the newest of this file that is done]")
@click.option("--stream", metavar="ID", help="Draw what was analysed under this name.")
@click.option(
    "--thumbnails",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write one small picture of each track, too: pictures of people, so off unless asked for.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--quiet", is_flag=True, help="No progress display and no summary; errors are told still.")
@bus_option
@config_option
@json_option
def annotate_command(
    video: str,
    out: Path | None,
    run: str | None,
    stream: str | None,
    thumbnails: Path | None,
    force: bool,
    quiet: bool,
    bus: str | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Draw what a run saw in VIDEO into a copy of it: boxes, labels, and valence and arousal below the picture.

    The run is found on the bus by the file's content. Nothing is analysed anew and no model is loaded. Times and sound
    are the video's own.
    """
    config = settings(config_path, bus=bus)
    with (
        signals_to(_interrupted),
        ProgressDisplay(Console(stderr=True), enabled=not (quiet or as_json)) as display,
    ):
        done = annotate(
            lambda: open_bus(config.bus, create=False),
            video,
            out=out,
            run=run,
            stream=stream,
            prefix=config.topics.prefix,
            thumbnails=thumbnails,
            force=force,
            decode=config.decode,
            show=_shown(display),
        )
    for sentence in _remarks(done):
        click.echo(f"streamer: {sentence}", err=True)
    if as_json:
        click.echo(json.dumps(_as_json(done, redacted(config.bus))))
    elif not quiet:
        click.echo("\n".join(_summary(done)))
    return 1 if done.failure is not None else 0


def _interrupted() -> None:
    raise KeyboardInterrupt


def _shown(display: ProgressDisplay) -> Callable[[Progress], None]:
    """Progress as the table that `streamer run` shows."""
    began_s = time.monotonic()

    def show(progress: Progress) -> None:
        wall_s = max(time.monotonic() - began_s, 1e-3)
        row = StreamProgress(
            progress.stream,
            "running",
            progress.position_s,
            progress.duration_s,
            decoded=progress.frames,
            analysed=progress.frames,
            faces=progress.faces,
            fps=progress.frames / wall_s,
            speed=progress.position_s / wall_s,
        )
        display.update([row])

    return show


def _remarks(done: Annotated) -> list[str]:
    """One sentence on each thing that is not as it should be."""
    said = []
    choice = done.choice
    if choice.state in ("running", "interrupted", "failed"):
        how = {"running": "goes on still", "interrupted": "was interrupted", "failed": "failed"}[choice.state]
        said.append(f"{choice.name} {how}: what it saw until then is drawn")
    elif choice.state == "unrecorded":
        said.append(f"nothing on this bus says how {choice.name} went: what it saw is drawn")
    if done.failure is not None:
        said.append(f"{printable(str(done.failure))} {counted(done.frames, 'frame')} before it are in {done.path}")
    elif done.faces < done.observations:
        lost = done.observations - done.faces
        said.append(
            f"{counted(lost, 'observation')} of {done.observations:,} fit no frame of the video and are left out"
        )
    if done.sound_left_out:
        said.append(f"{counted(done.sound_left_out, 'sound track')} could not be read and is left out")
    return said


def _summary(done: Annotated) -> list[str]:
    others = f", the newest of {done.choice.others + 1} (--run chooses another)" if done.choice.others else ""
    speed = f"{done.duration_s / max(done.wall_s, 1e-9):.1f}x real time"
    lines = [
        f"{counted(done.frames, 'frame')}, {counted(done.faces, 'face')} drawn, {clock_span(done.duration_s)} of video "
        f"in {done.wall_s:.1f} s, {speed}",
        f"drawn     {done.choice.name}{others}",
        f"video     {printable(str(done.path))}",
    ]
    if done.thumbnails:
        folder = printable(str(done.thumbnails[0].parent))
        lines.append(f"pictures  {counted(len(done.thumbnails), 'thumbnail')} in {folder}")
    return lines


def _as_json(done: Annotated, bus: str) -> dict[str, object]:
    return {
        "video": str(done.path),
        "bus": bus,
        "run": done.choice.run,
        "stream": done.choice.stream,
        "state": done.choice.state,
        "runs": done.choice.others + 1,
        "frames": done.frames,
        "faces": done.faces,
        "observations": done.observations,
        "duration_s": round(done.duration_s, 6),
        "width": done.size_wh[0],
        "height": done.size_wh[1],
        "codec": done.codec,
        "sound": done.sound,
        "size_bytes": done.size_bytes,
        "wall_s": round(done.wall_s, 3),
        "thumbnails": [str(path) for path in done.thumbnails],
        "failure": None if done.failure is None else {"cause": done.failure.cause, "message": str(done.failure)},
    }
