"""`streamer bench live`: real cameras on loopback that fail, and a real worker that must not need a hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from streamer.cli.bench_common import give, sample, tell
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import folder_for_output, json_option
from streamer.config import Config
from streamer.errors import UsageError

_MINUTES = click.FloatRange(min=0, min_open=True)


@click.command(
    epilog="""\b
Examples:
  streamer bench live flaps --times 100 --out bench-output
  streamer bench live page --minutes 5 --expires-s 30
  streamer bench live soak --minutes 1440 --out bench-output
"""
)
@click.argument("scenario", type=click.Choice(["flaps", "page", "soak"]))
@click.option("--times", type=click.IntRange(min=1), metavar="N", help="How many faults befall the camera.")
@click.option("--minutes", type=_MINUTES, metavar="N", help="How long.")
@click.option("--expires-s", type=_MINUTES, metavar="S", help="How long an address of a page's video is good.")
@click.option("--seed", type=int, metavar="N", help="The same seed has the same happen.  [default: 0]")
@click.option("--video", type=click.Path(path_type=Path), help="A short video with a face.  [default: the sample clip]")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write live-SCENARIO.json here.")
@json_option
def live(
    scenario: str,
    times: int | None,
    minutes: float | None,
    expires_s: float | None,
    seed: int | None,
    video: Path | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Cameras that are killed, frozen and expire, and what the topics say of it: 1 where that is bad.

    flaps: one camera, again and again, beside one that nobody touches. page: videos of web pages whose address expires.
    soak: twelve streams, some of which flap, and every frame accounted for.
    """
    from streamer.bench.live import program

    program.check(scenario)
    arguments = program.SCENARIOS[scenario].arguments(minutes, times, seed)
    if expires_s is not None:
        if scenario != "page":
            raise UsageError("--expires-s means nothing to this scenario: leave it out")
        arguments["expires_s"] = expires_s
    if folder is not None:
        folder_for_output(folder)
    if video is not None and not video.is_file():
        raise UsageError(f"there is no video {video}")
    ensure_models(Config(), offline=False, quiet=as_json)
    clip = video or sample()
    with tempfile.TemporaryDirectory(prefix="affect-streamer-live-") as place:
        result = program.run(scenario, Path(place), clip.resolve(), arguments, tell)
    give(result, None, folder, as_json)
    return 0 if result["good"] else 1
