"""Files through the whole product into a fresh embedded bus, as `streamer run` takes them, and what that took."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.messages import Mode
from streamer.sources import parse_all
from streamer.worker.children import Children
from streamer.worker.supervisor import RunOutcome, Supervisor


def run_copies(folder: Path, clip: Path, config: Config, n_files: int, number: int) -> dict[str, Any]:
    """`n_files` names of one file through the whole product; `number` tells runs in the same folder apart."""
    names = [folder / f"{number}-{n_files}-{k}{clip.suffix}" for k in range(n_files)]
    for name in names:
        name.hardlink_to(clip)
    database = folder / f"{number}-{n_files}.db"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = run_files(names, config, database)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    frames = sum(result.analysed for result in outcome.results)
    loaded_s = outcome.loaded_s or 0.0
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "frames": frames,
        "fps": frames / (outcome.wall_s - loaded_s),
        "cpu_s_per_frame": cpu_s / frames,
        "loaded_s": loaded_s,
        "first_record_s": outcome.first_record_s or 0.0,
        "stage_ms_per_frame": {k: 1000 * v / frames for k, v in sorted(outcome.stage_s.items())},
        "database_bytes_per_frame": database.stat().st_size / frames,
    }


def run_files(
    names: Sequence[Path],
    config: Config,
    database: Path,
    *,
    mode: Mode = "archive",
    children: Children | None = None,
) -> RunOutcome:
    """One run of these files, their records in `database`. Raises `StreamerError` unless all are done."""
    chosen = msgspec.structs.replace(config, bus=f"sqlite:///{database}")
    bus = open_bus(chosen.bus)
    try:
        bus.ensure_topics(topics(chosen.topics).all())
        sources = parse_all([str(name) for name in names], mode)
        outcome = Supervisor(chosen, sources, bus, children=children).run()
    finally:
        bus.close()
    if outcome.fatal is not None or any(result.state != "done" for result in outcome.results):
        raise StreamerError(f"the whole run failed: {outcome.fatal or outcome.results}")
    return outcome
