"""`python -m streamer.metrics [PAGE]` writes the tables of docs/metrics.md anew."""

from __future__ import annotations

import sys
from pathlib import Path

from streamer.metrics.reference import write_tables

PAGE = Path("docs/metrics.md")


def main(arguments: list[str]) -> int:
    """Write the page."""
    page = Path(arguments[0]) if arguments else PAGE
    page.write_text(write_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
