"""`streamer bench`: what this machine does with this software, as ratios measured in one run."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from streamer.bench.document.throughput import LABELS
from streamer.cli.bench_common import clips_of, give, sample, tell
from streamer.cli.bench_cost import batching, memory, peers, state
from streamer.cli.bench_document import document
from streamer.cli.bench_live import live
from streamer.cli.bench_load import latency, startup, streams
from streamer.cli.bench_plan import plan
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import bus_option, config_option, folder_for_output, json_option, settings
from streamer.config import Config
from streamer.errors import UsageError

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.group(epilog="\b\nExample:\n  streamer bench throughput --out bench-output")
def bench() -> None:
    """Measure this machine with this software."""


for command in (batching, document, latency, live, memory, peers, plan, startup, state, streams):
    bench.add_command(command)


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
@click.option("--label", type=click.Choice(LABELS[1:]), help="Says what is special here: it ends the result's name.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write the result here.")
@config_option
@json_option
def throughput(
    clip: Path | None,
    n_files: int,
    duration_s: float,
    part_s: float,
    repeats: int,
    label: str | None,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Archive frames per second, as a share of what the parts alone would allow.

    throughput-refine.json is of a configuration as it comes; throughput.json of one that searches every picture
    (`detect.interval_s: 0`).
    """
    from streamer.bench import throughput as program

    config = settings(config_path)
    if folder is not None:
        folder_for_output(folder)  # said before the work, not after it
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    ensure_models(config, offline=False, quiet=as_json)
    chosen = clip or sample()
    result = program.run(
        chosen,
        config,
        n_files=n_files,
        duration_s=duration_s,
        part_s=part_s,
        repeats=repeats,
        label=label or "",
        tell=tell,
    )
    give(result, program.table(result), folder, as_json)


@bench.command(epilog="\b\nExample:\n  streamer bench tracking --out bench-output")
@click.option("--scenes", "n_scenes", type=_COUNT, default=40, show_default=True, help="How many scenes to make up.")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same scenes.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write tracking.json here.")
@json_option
def tracking(n_scenes: int, seed: int, folder: Path | None, as_json: bool) -> None:
    """Identity switches, fragmentations and IDF1 on made-up crossings and occlusions."""
    from streamer.bench import tracking as program

    result = program.run(seed=seed, n_scenes=n_scenes)
    give(result, None, folder, as_json)


@bench.command(epilog="\b\nExample:\n  streamer bench gates --clip face.mp4 --out bench-output")
@click.option(
    "--clip",
    "chosen",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A video, or a folder of them; may be given again.  [default: the sample clip]",
)
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Passes; the median of their CPU is given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write gates.json here.")
@config_option
@json_option
def gates(chosen: tuple[Path, ...], repeats: int, folder: Path | None, config_path: Path | None, as_json: bool) -> None:
    """What the gates save, beside how far labels agree with a run that works on every frame."""
    from streamer.bench import gates as program

    config = settings(config_path)
    if folder is not None:
        folder_for_output(folder)
    clips = clips_of(chosen)
    ensure_models(config, offline=False, quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="affect-streamer-gates-") as place:
        usual = sample()
        clips = [*(clips or [usual]), program.held(usual, Path(place))]
        result = program.run(clips, config, repeats=repeats, tell=tell)
    give(result, program.table(result), folder, as_json)


@bench.command(epilog="\b\nExample:\n  streamer bench refine --clip faces/ --out bench-output")
@click.option(
    "--clip",
    "chosen",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A video, or a folder of them; may be given again.  [default: the sample clip]",
)
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Passes; the median of their CPU is given.")
@click.option(
    "--rendered",
    "rendered_frames",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="See clips with faces by moving cameras too, N frames for each of three moves.",
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write refine.json here.")
@config_option
@json_option
def refine(
    chosen: tuple[Path, ...],
    repeats: int,
    rendered_frames: int,
    folder: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """What searching whole pictures at an interval saves, and how far it agrees: 1 where that is too little."""
    from streamer.bench import refine as program

    config = settings(config_path)
    if folder is not None:
        folder_for_output(folder)
    clips = clips_of(chosen)
    ensure_models(config, offline=False, quiet=as_json)
    result = program.run(clips or [sample()], config, repeats=repeats, tell=tell, rendered_frames=rendered_frames)
    give(result, program.table(result), folder, as_json)
    return 0 if result["good"] else 1


@bench.command(epilog="\b\nExample:\n  streamer bench isolation --repeats 5 --out bench-output")
@click.option("--clip", type=click.Path(path_type=Path), help="A video with a face.  [default: the sample clip]")
@click.option("--streams", "n_quiet", type=_COUNT, default=4, show_default=True, help="How many quiet streams.")
@click.option("--fps", type=_COUNT, default=10, show_default=True, help="Frames a second of each stream.")
@click.option(
    "--seconds", "measure_s", type=_SECONDS, default=20.0, show_default=True, help="How long each is measured."
)
@click.option("--children", type=_COUNT, default=1, show_default=True, help="Processes that share the streams.")
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Rounds; medians are given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write isolation.json here.")
@json_option
def isolation(
    clip: Path | None,
    n_quiet: int,
    fps: int,
    measure_s: float,
    children: int,
    repeats: int,
    folder: Path | None,
    as_json: bool,
) -> int:
    """How far a crowd, a hung and a flapping source move the latency of the others: 1 where it is too far."""
    from streamer.bench import isolation as program

    if folder is not None:
        folder_for_output(folder)
    if clip is not None and not clip.is_file():
        raise UsageError(f"there is no clip {clip}")
    ensure_models(Config(), offline=False, quiet=as_json)
    chosen = clip or sample()
    plan = program.Plan(n_quiet, fps, measure_s, children)
    result = program.run(chosen, plan, repeats=repeats, tell=tell)
    give(result, program.table(result), folder, as_json)
    return 0 if result["good"] else 1


@bench.command(epilog="\b\nExample:\n  streamer bench restore --bus kafka://localhost:9092 --out bench-output")
@bus_option
@config_option
@click.option("--streams", "n_streams", type=_COUNT, default=100, show_default=True, help="How many streams.")
@click.option("--tracks", "n_tracks", type=_COUNT, default=1000, show_default=True, help="How many faces in all.")
@click.option("--older", "n_older", type=click.IntRange(min=0), default=100, show_default=True, help="Old versions.")
@click.option("--repeats", type=_COUNT, default=3, show_default=True, help="Rounds; the median is given.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write restore.json here.")
@json_option
def restore(
    bus: str | None,
    config_path: Path | None,
    n_streams: int,
    n_tracks: int,
    n_older: int,
    repeats: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Seconds until a new owner has every track again, and the bytes that snapshots take until then."""
    from streamer.bench import restore as program
    from streamer.pipeline import Models

    config = settings(config_path, bus=bus)
    if folder is not None:
        folder_for_output(folder)
    ensure_models(config, offline=False, quiet=as_json)
    result = program.run(
        config,
        Models.open(config),
        n_streams=n_streams,
        n_tracks=n_tracks,
        n_older=n_older,
        repeats=repeats,
        tell=tell,
    )
    give(result, program.table(result), folder, as_json)


@bench.command(
    epilog="""\b
Examples:
  streamer bench fleet kills --kafka kafka_2.13-4.1.1/libs --out bench-output
  streamer bench fleet churn --kafka kafka_2.13-4.1.1/libs --minutes 2
  streamer bench fleet cycles --bus sqlite:///cycles.db --repeats 100
"""
)
@click.argument("scenario", type=click.Choice(["kills", "takeover", "churn", "outage", "cycles", "cost"]))
@click.option(
    "--kafka",
    "libs",
    type=click.Path(path_type=Path),
    metavar="LIBS",
    help="Start a broker of the jars in this folder.",
)
@click.option("--bus", metavar="URL", help="Use a bus that is there, under prefixes of its own.")
@click.option("--minutes", type=_SECONDS, metavar="N", help="How long; for an outage, how long each time.")
@click.option("--repeats", type=_COUNT, metavar="N", help="How many kills, take-overs, outages, cycles or pairs.")
@click.option("--seed", type=int, metavar="N", help="The same seed has the same happen.  [default: 0]")
@click.option("--video", type=click.Path(path_type=Path), help="A short video with a face.  [default: the sample clip]")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write fleet-SCENARIO.json here.")
@json_option
def fleet(
    scenario: str,
    libs: Path | None,
    bus: str | None,
    minutes: float | None,
    repeats: int | None,
    seed: int | None,
    video: Path | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Workers killed, frozen and cut off from a real broker, and what the topics say of it: 1 where that is bad.

    kills: at every step of the commit. takeover: how long streams are without an owner. churn: workers that come and
    go at random. outage: the broker stopped, frozen, throttled. cycles: streams added and removed. cost: what
    transactions cost.
    """
    from streamer.bench.fleet import program
    from streamer.bench.fleet.ground import Ground

    if (libs is None) == (bus is None):
        raise UsageError("name either the folder of Kafka's jars (--kafka LIBS) or a bus that is there (--bus URL)")
    arguments = program.SCENARIOS[scenario].arguments(minutes, repeats, seed)
    if folder is not None:
        folder_for_output(folder)
    if video is not None and not video.is_file():
        raise UsageError(f"there is no video {video}")
    ensure_models(Config(), offline=False, quiet=as_json)
    clip = video or sample()
    with tempfile.TemporaryDirectory(prefix="affect-streamer-fleet-") as place, ExitStack() as stack:
        broker = None
        if libs is not None:
            from streamer.bench.broker import start

            broker = start(libs, Path(place) / "kafka")
            stack.callback(broker.stop)
        url = bus or (broker.url if broker else "")
        ground = Ground(url, Path(place), clip.resolve(), broker, tell)
        result = program.run(scenario, ground, arguments)
    give(result, None, folder, as_json)
    return 0 if result["good"] else 1


@bench.command(epilog="\b\nExample:\n  streamer bench hostile --files 2400 --out bench-output")
@click.option("--files", "n_files", type=_COUNT, default=2400, show_default=True, help="How many files to spoil.")
@click.option("--seed", default=0, show_default=True, help="The same seed spoils the same files.")
@click.option(
    "--video",
    "videos",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Spoil this too.  [default: the sample clip]",
)
@click.option("--deadline", "deadline_s", type=_SECONDS, default=30.0, show_default=True, help="Seconds for one file.")
@click.option("--only", type=click.IntRange(min=0), metavar="N", help="File number N of that seed alone.")
@click.option("--keep", "kept", type=click.Path(path_type=Path), help="Put the files that went wrong here.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write hostile.json here.")
@json_option
def hostile(
    n_files: int,
    seed: int,
    videos: tuple[Path, ...],
    deadline_s: float,
    only: int | None,
    kept: Path | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Spoilt files through the decode path: 1 where one crashed a reader, hung it, or raised no error of ours."""
    from streamer.bench.hostile import program

    if folder is not None:
        folder_for_output(folder)
    for video in videos:
        if not video.is_file():
            raise UsageError(f"there is no video {video}")

    result = program.run(
        videos or (sample(),),
        n_files=n_files,
        seed=seed,
        deadline_s=deadline_s,
        only=only,
        kept=kept,
        tell=tell,
    )
    give(result, program.table(result), folder, as_json)
    return 0 if result["good"] else 1
