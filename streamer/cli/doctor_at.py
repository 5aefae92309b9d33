"""`streamer doctor --at URL`: what is wrong with a running process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict

import click

from streamer.control.client import Asked, NotAsked, token_of
from streamer.control.signs import Seen, Sign, signs
from streamer.http_guard import token_variable
from streamer.progress import printable


def examine(url: str, token_file: str | None, apart_s: float, *, as_json: bool) -> int:
    """Print what is found; 1 where something is wrong, or nobody answers."""
    token = (
        token_of(token_file) or os.environ.get(token_variable("metrics")) or os.environ.get(token_variable("control"))
    )
    asked = Asked(url.rstrip("/"), token)
    try:
        found = signs(_look(asked, apart_s))
    except NotAsked as error:
        found = [Sign("process", "wrong", str(error))]
    click.echo(json.dumps([asdict(one) for one in found]) if as_json else _lines(found))
    return 1 if any(one.verdict == "wrong" for one in found) else 0


def _look(asked: Asked, apart_s: float) -> Seen:
    before, begun_s = asked.scrape(), time.monotonic()
    time.sleep(apart_s)
    after = asked.scrape()
    elapsed_s = time.monotonic() - begun_s
    return Seen(asked.readiness(), asked.streams(), before, after, elapsed_s, time.time())


def _lines(found: Sequence[Sign]) -> str:
    return "\n".join(f"{one.verdict:9} {one.name:16} {printable(one.detail)}" for one in found)
