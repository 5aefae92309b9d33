"""`streamer jobs`: archive work for the fleet, submitted over the bus, followed and cancelled there."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.read import drain
from streamer.bus.topics import topics
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.cli.words import clock_span, counted, listed
from streamer.config import Config
from streamer.errors import UsageError
from streamer.fleet.retry import first_status
from streamer.fleet.submission import JobOptions, jobs_of
from streamer.messages import JOB_OVER, Job, JobCancel
from streamer.progress import printable
from streamer.sources.names import is_name
from streamer.wishes import records
from streamer.wishes.batches import Batch, JobBoard, KnownJob, batches
from streamer.wishes.definitions import write

PART = 500
"""Jobs in one transaction."""
WATCH_S = 2.0


@click.group(epilog="\b\nExample:\n  streamer jobs submit recordings/ --bus kafka://localhost:9092")
def jobs() -> None:
    """Have a fleet of workers analyse files: submit, follow, cancel."""


@jobs.command(
    epilog="""\b
Examples:
  streamer jobs submit recordings/ --bus kafka://localhost:9092
  streamer jobs submit 'day1/*.mp4' evening.m3u --batch day1 --run day1
  streamer jobs submit 'https://www.youtube.com/playlist?list=ID' --batch talks
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH|GLOB|FOLDER|LIST|ADDRESS...")
@bus_option
@config_option
@click.option("--batch", metavar="NAME", help="Name the batch: the same files again under it are the same jobs.")
@click.option("--run", "run_name", metavar="ID", help="Name the runs ID.STREAM; else the same work has the same name.")
@click.option("--model", metavar="NAME", help="Expression model.  [default: the worker's]")
@click.option("--head", metavar="NAME", help="Temporal head.  [default: the worker's]")
@click.option("--detector", metavar="NAME", help="Face detector.  [default: the worker's]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
    help="Precision of the engines.  [default: the worker's]",
)
@json_option
def submit(
    paths: tuple[str, ...],
    bus: str | None,
    config_path: Path | None,
    batch: str | None,
    run_name: str | None,
    model: str | None,
    head: str | None,
    detector: str | None,
    precision: str | None,
    as_json: bool,
) -> None:
    """Submit one job for each file or video.

    A LIST is a local .m3u, .m3u8 or .txt with one path or address a line. An ADDRESS is a video file, a recorded HLS or
    DASH playlist, or the page of a video, a playlist or a channel: one job a video (this needs yt-dlp here and on the
    workers). The workers must find files under the same paths, in folders that their `fleet.roots` allow.
    """
    for what, name in (("--batch", batch), ("--run", run_name)):
        if name is not None and not is_name(name):
            raise UsageError(f"{what} {name!r} must be at most 100 letters, digits, dots, dashes and underscores")
    config = settings(config_path, bus=bus)
    batch_name = batch or time.strftime("b-%Y%m%dT%H%M%S-", time.gmtime()) + secrets.token_hex(3)
    wanted = jobs_of(
        paths, batch_name, JobOptions(run_name, model, head, detector, precision), time.time(), config.connect
    )
    opened = open_bus(config.bus, settings=config.topics)
    try:
        opened.ensure_topics(topics(config.topics).all())
        new = _submit(opened, config, batch_name, wanted)
    finally:
        opened.close()
    known = len(wanted) - len(new)
    if as_json:
        told = {"batch": batch_name, "submitted": len(new), "known": known, "jobs": [job.job for job in wanted]}
        click.echo(json.dumps(told))
        return
    click.echo(f"{batch_name}: {counted(len(new), 'job')} submitted" + (f", {known} known already" if known else ""))


def _submit(bus: Bus, config: Config, batch: str, wanted: Sequence[Job]) -> list[Job]:
    """Write what the bus does not know yet, each job in one transaction with its status; returns it.

    The producer comes first: where the same batch is submitted twice at once, a broker refuses the earlier producer.
    """
    producer = bus.producer(f"{config.topics.prefix}.submit.{batch}")
    try:
        there = _board(bus, config).jobs()
        members = [known for known in there.values() if known.status.batch == batch]
        new = [job for job in wanted if job.job not in there]
        places = records.job_partitions(batch, len(new), already=len(members))
        placed = list(zip(new, places, strict=True))
        for at in range(0, len(placed), PART):
            part = placed[at : at + PART]
            producer.commit(
                [records.job_status(first_status(job), place, config.topics) for job, place in part]
                + [records.job(job, place, config.topics) for job, place in part]
            )
    finally:
        producer.close()
    return new


@jobs.command(
    epilog="""\b
Examples:
  streamer jobs status
  streamer jobs status day1 --watch
"""
)
@click.argument("names", nargs=-1, metavar="[BATCH|JOB]...")
@bus_option
@config_option
@click.option("--watch", is_flag=True, help="Go on until all of it is over.")
@json_option
def status(names: tuple[str, ...], bus: str | None, config_path: Path | None, watch: bool, as_json: bool) -> None:
    """Show how far submitted work is: by batch, and each job that runs, failed or is tried again."""
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        for found in _looks(opened, config, names, watch=watch):
            shown = batches(found.values(), time.time())
            if as_json:
                click.echo(json.dumps([_as_json(batch) for batch in shown]))
            else:
                click.echo("\n".join(_text(shown)) or "no jobs on this bus")
    finally:
        opened.close()


def _looks(bus: Bus, config: Config, names: Sequence[str], *, watch: bool) -> Iterator[dict[str, KnownJob]]:
    """The jobs that are meant: once, or whenever they have changed until all are over."""
    if not watch:
        yield _meant(_board(bus, config), names)
        return
    board = JobBoard()
    before: dict[str, KnownJob] | None = None
    consumer = bus.consumer([topics(config.topics).jobs_status.name])
    try:
        while before is None or any(known.status.state not in JOB_OVER for known in before.values()):
            began_s = time.monotonic()
            # All that is there at first, and from then on what comes within a while.
            while not consumer.at_end() if before is None else time.monotonic() < began_s + WATCH_S:
                for record in consumer.poll(WATCH_S / 4):
                    board.take(record)
            now = _meant(board, names)
            if now != before:
                yield now
            before = now
    finally:
        consumer.close()


@jobs.command(
    epilog="""\b
Example:
  streamer jobs cancel day1
"""
)
@click.argument("names", nargs=-1, required=True, metavar="BATCH|JOB...")
@bus_option
@config_option
@json_option
def cancel(names: tuple[str, ...], bus: str | None, config_path: Path | None, as_json: bool) -> None:
    """Ask that jobs be not done, or done no further. Results that are there stay."""
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        found = _meant(_board(opened, config), names)
        going = {job: known for job, known in found.items() if known.status.state not in JOB_OVER}
        now_s = round(time.time(), 6)
        wishes = [
            records.job_cancel(JobCancel(job=job, requested_s=now_s), known.partition, config.topics)
            for job, known in going.items()
        ]
        write(opened, wishes)
    finally:
        opened.close()
    over = len(found) - len(going)
    if as_json:
        click.echo(json.dumps({"cancelling": sorted(going), "over": over}))
        return
    click.echo(f"{counted(len(going), 'job')} to be cancelled" + (f", {over} over already" if over else ""))


def _board(bus: Bus, config: Config) -> JobBoard:
    board = JobBoard()
    for record in drain(bus, [topics(config.topics).jobs_status.name]):
        board.take(record)
    return board


def _meant(board: JobBoard, names: Sequence[str]) -> dict[str, KnownJob]:
    if not names:
        return board.jobs()
    found, unknown = board.named(names)
    if unknown:
        raise UsageError(
            f"{listed(unknown)}: no batch or job of that name is on this bus; `streamer jobs status` lists"
        )
    return found


def _as_json(batch: Batch) -> dict[str, object]:
    return {
        "batch": batch.batch,
        "counts": batch.counts,
        "over": batch.over,
        "fraction": batch.fraction,
        "media_s": batch.media_s,
        "total_s": batch.total_s,
        "speed": batch.speed,
        "left_s": batch.left_s,
        "jobs": [msgspec.to_builtins(known.status) | {"cancelling": known.cancelling} for known in batch.jobs],
    }


def _text(shown: Sequence[Batch]) -> Iterator[str]:
    for batch in shown:
        states = ", ".join(f"{n} {state}" for state, n in batch.counts.items())
        yield f"{printable(batch.batch)}: {counted(len(batch.jobs), 'job')}: {states}"
        facts = []
        if batch.fraction is not None and batch.total_s:
            facts.append(f"{100 * batch.fraction:.0f}% of {clock_span(batch.total_s)} of video")
        if batch.speed:
            facts.append(f"{batch.speed:.1f}x real time")
        if batch.left_s and not batch.over:
            facts.append(f"about {clock_span(batch.left_s)} left")
        if facts:
            yield "  " + ", ".join(facts)
        for known in batch.jobs:
            if known.status.state in ("running", "retrying", "failed"):
                yield "  " + _row(known)


def _row(known: KnownJob) -> str:
    job = known.status
    parts = [f"{printable(job.stream)}: {'cancelling' if known.cancelling else job.state}"]
    if job.state == "running":
        parts[0] += f" on {printable(job.worker)}" if job.worker else ""
        parts.append(clock_span(job.media_time_s) + (f" of {clock_span(job.duration_s)}" if job.duration_s else ""))
        parts.append(counted(job.records, "record"))
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    if job.cause:
        parts.append(f"{printable(job.cause)}: {printable(' '.join((job.message or '').split()))}")
    return ", ".join(parts)
