"""Options that say how much of a stream is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def frame_options(command: Command) -> Command:
    """`--sample-fps`, `--keyframes-only`, `--search-every` and `--max-faces` of a run."""
    for option in (
        click.option(
            "--max-faces",
            type=click.IntRange(min=0),
            metavar="N",
            help="Analyse the N largest faces of a frame; 0 is all.  [default: 0]",
        ),
        click.option(
            "--search-every",
            type=click.FloatRange(min=0),
            metavar="S",
            help="Search whole pictures every S seconds of media time, and around known faces in every frame; 0 "
            "searches every picture whole.  [default: 0.2]",
        ),
        click.option(
            "--keyframes-only",
            is_flag=True,
            default=None,
            help="Decode key frames alone, one in a second or in ten: for hundreds of slow streams.",
        ),
        click.option(
            "--sample-fps",
            type=click.FloatRange(min=0, min_open=True),
            metavar="F",
            help="Analyse at most F frames a second of media time, 0.5 is one in two seconds.  [default: every one]",
        ),
    ):
        command = option(command)
    return command


def stream_frame_options(command: Command) -> Command:
    """The same of a stream of the fleet, where 0 and the like undo what was chosen before."""
    for option in (
        click.option(
            "--max-faces",
            type=click.IntRange(min=0),
            metavar="N",
            help="Analyse the N largest faces of a frame; 0 is all.  [default: the worker's setting]",
        ),
        click.option(
            "--keyframes-only/--every-frame",
            default=None,
            help="Decode key frames alone: for hundreds of slow streams.  [default: the worker's setting]",
        ),
        click.option(
            "--fps",
            "--sample-fps",
            "fps",
            type=click.FloatRange(min=0),
            metavar="F",
            help="Frames a second to analyse at most; 0 is the worker's setting, every one if it has none.  "
            "[default: 0]",
        ),
    ):
        command = option(command)
    return command
