"""Seconds from the command to its first record, with the models in the cache: each time a process of its own.

The command is `streamer run CLIP` on a new SQLite file. The parts follow each other: the command until it begins its
first child, that child's start and imports, its waiting for the command to say what to do, the models opened, the
source opened, and from there to the time of the first observation on the bus. Files that were read lately are in the
system's memory: this is the second start after a boot, not the first.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamer.bench.record import header
from streamer.bench.startup_run import FOLDER
from streamer.bus.open import open_bus
from streamer.bus.read import drain
from streamer.config import TopicSettings
from streamer.errors import StreamerError

GOAL_S = 2.0
PARTS = ("child begun", "child imported", "child told", "models opened", "source opened", "first record")
MARKS = ("begun", "child", "told", "models", "source")
"""What ends each of `PARTS` but the last, which the bus tells of."""
_ENDS_WITHIN_S = 180.0
Tell = Callable[[str], None]


def run(
    clip: Path,
    models: Sequence[str],
    *,
    mode: str = "archive",
    repeats: int = 5,
    children: int = 1,
    tell: Tell = lambda _: None,
) -> dict[str, Any]:
    """Each of `models` `repeats` times, in turn; medians. `good` is that the median of each is at most `GOAL_S`."""
    found: dict[str, list[dict[str, float]]] = {model: [] for model in models}
    with tempfile.TemporaryDirectory(prefix="affect-streamer-startup-") as place:
        for number in range(repeats):
            for model in models:
                folder = Path(place) / f"{number}-{len(found)}-{models.index(model)}"
                folder.mkdir()
                found[model].append(_once(clip, model, mode, children, folder))
                tell(f"start {number + 1} of {repeats}, {model}: {found[model][-1]['total']:.2f} s")
    medians = {model: middle(starts) for model, starts in found.items()}
    return {
        **header("startup"),
        "clip": clip.name,
        "mode": mode,
        "children": children,
        "repeats": repeats,
        "goal_s": GOAL_S,
        "measured": "from starting the process to the bus's time of the first observation; models in the cache, files "
        "in the system's memory",
        "good": all(one["total"] <= GOAL_S for one in medians.values()),
        "models": medians,
        "starts": found,
    }


def split(began_s: float, marks: Mapping[str, float], record_s: float) -> dict[str, float]:
    """What each part took, and the total, out of times on one clock. Raises `StreamerError` where a mark is missing."""
    missing = [mark for mark in MARKS if mark not in marks]
    if missing:
        raise StreamerError(f"the command never came to {', '.join(missing)}: it was not the one that is measured")
    times = [began_s, *(marks[mark] for mark in MARKS), record_s]
    parts = {part: later - earlier for part, earlier, later in zip(PARTS, times, times[1:], strict=False)}
    return {**parts, "total": record_s - began_s}


def middle(starts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each part, and of the total: the parts need not add up to it."""
    return {part: statistics.median(one[part] for one in starts) for part in (*PARTS, "total")}


def _once(clip: Path, model: str, mode: str, children: int, folder: Path) -> dict[str, float]:
    notes, database, log = folder / "notes", folder / "bus.db", folder / "log"
    notes.mkdir()
    chosen = ["--model", model, "--mode", mode, "--children", str(children), "--bus", f"sqlite:///{database}"]
    command = [sys.executable, "-m", "streamer.bench.startup_run", str(clip), *chosen, "--offline", "--quiet"]
    with log.open("wb") as output:
        began_s, began_wall_s = time.monotonic(), time.time()
        process = subprocess.Popen(
            command,
            env={**os.environ, FOLDER: str(notes)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        process.wait(_ENDS_WITHIN_S)  # reading what it writes while it begins would hold it up
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    first_wall_s = first_record_s(database, log)
    return split(began_s, _marks(notes), began_s + first_wall_s - began_wall_s)


def first_record_s(database: Path, log: Path) -> float:
    """The bus's time of the first observation, on the wall clock. Raises `StreamerError` where there is none."""
    said = f"streamer run gave no record:\n{log.read_text('utf-8', 'replace')[-2000:]}"
    if not database.exists():
        raise StreamerError(said)
    prefix = TopicSettings().prefix
    bus = open_bus(f"sqlite:///{database}", create=False)
    try:
        records = drain(bus, [f"{prefix}.archive.observations", f"{prefix}.observations"])
        times = [record.time_s for record in records if record.value is not None]
    finally:
        bus.close()
    if not times:
        raise StreamerError(said)
    return min(times)


def _marks(notes: Path) -> dict[str, float]:
    """The first time of each mark."""
    found: dict[str, float] = {}
    for path in notes.iterdir():
        mark, _, at = path.name.partition("@")
        found[mark] = min(float(at), found.get(mark, float("inf")))
    return found
