"""What every benchmark's JSON begins with."""

from __future__ import annotations

import datetime
from typing import Any

from streamer import machine


def header(bench: str) -> dict[str, Any]:
    """The benchmark's name, the date, the machine and the versions of what was measured."""
    return {
        "bench": bench,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine.facts(),
        "versions": machine.versions(),
    }
