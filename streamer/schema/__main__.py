"""`python -m streamer.schema [PAGE]` writes the page's tables, and `configuration.md` and the folder
`schema` beside it, anew.

`schema/v1.json` is what the present schema is held against: the last accepted one of the version. It is written where
it is missing and taken forward where the changes are allowed; where one is not, nothing is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from streamer.messages import SCHEMA_VERSION
from streamer.schema.compatibility import changes
from streamer.schema.configuration import configuration_page, configuration_schema
from streamer.schema.documents import asyncapi, json_schemas
from streamer.schema.tables import write_tables

PAGE = Path("docs/messages.md")


def files(page: Path) -> dict[Path, str]:
    """Every generated file and what is to be in it."""
    folder = page.parent / "schema"
    return {
        page: write_tables(page.read_text(encoding="utf-8")),
        page.with_name("configuration.md"): configuration_page(),
        folder / "configuration.schema.json": json_text(configuration_schema()),
        folder / "messages.schema.json": json_text(json_schemas()),
        folder / "asyncapi.json": json_text(asyncapi()),
    }


def json_text(document: object) -> str:
    """The document as it lies in a file."""
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def main(arguments: list[str]) -> int:
    """Write the files; 1 when the present schema breaks readers of the accepted one."""
    page = Path(arguments[0]) if arguments else PAGE
    accepted = page.parent / "schema" / f"v{SCHEMA_VERSION}.json"
    accepted.parent.mkdir(exist_ok=True)
    if accepted.exists():
        found = changes(msgspec.json.decode(accepted.read_bytes()), json_schemas())
        for line in found.growth:
            sys.stdout.write(f"{line}\n")
        if found.faults:
            sys.stderr.write("\n".join((*found.faults, "change it back, or begin a new schema version")) + "\n")
            return 1
    for path, text in (files(page) | {accepted: json_text(json_schemas())}).items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
