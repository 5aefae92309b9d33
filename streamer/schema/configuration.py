"""The configuration for people (docs/configuration.md) and for editors (docs/schema/configuration.schema.json)."""

from __future__ import annotations

import inspect
import json
import typing
from typing import Any

import msgspec

from streamer.config import ENVIRONMENT_PREFIX, Config, json_schema, limits
from streamer.schema.setting_words import meaning
from streamer.schema.tables import type_name

_TOP = """# Configuration

<!-- `python -m streamer.schema` writes this from streamer/config.py and streamer/schema/setting_words.py. -->

All settings are one typed object, read from a YAML file (`--config FILE`), then from environment variables, then from
flags; the later wins. An unknown key is refused with a sentence, and passwords in addresses are masked wherever
settings are shown.

Each section of the file is a heading below; the variable of a setting is `STREAMER_SECTION__KEY`, and its name stands
under the setting. `streamer check FILE` says what is wrong with a file, or prints what it comes to. Editors that know
JSON Schema can use [the schema](schema/configuration.schema.json), which `streamer check --schema` prints too.

Lists are set in the file; of them only the sources have a variable, whose text is one source, or a YAML list in
brackets. Times end in `_s` and are seconds, sizes end in `_bytes` or `_px`.
"""


def configuration_page() -> str:
    """docs/configuration.md: every setting with its variable, type, default, limit and meaning, by section."""
    parts = [_TOP, "## Outside of sections\n", _table(Config, "")]
    for name, kind in _sections().items():
        parts += [f"## {name}\n", f"{inspect.getdoc(kind)}\n", _table(kind, f"{name}.")]
    return "\n".join(parts)


def configuration_schema() -> dict[str, Any]:
    """The configuration's JSON Schema (2020-12) with every setting explained."""
    schema: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(json_schema())
    )  # defaults become lists, as in a file
    kinds: dict[str, type[msgspec.Struct]] = {"": Config} | _sections()
    for section, kind in kinds.items():
        properties = schema["$defs"][kind.__name__]["properties"]
        for key in _own(kind):
            properties[key]["description"] = meaning(f"{section}.{key}".lstrip("."))
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": "affect-streamer configuration", **schema}


def settings() -> list[str]:
    """The dotted name of every setting."""
    return [*_own(Config), *(f"{name}.{key}" for name, kind in _sections().items() for key in _own(kind))]


def variable_of(setting: str) -> str | None:
    """The environment variable that sets it; None for lists, which one text cannot say (but for `sources`)."""
    section, _, key = setting.rpartition(".")
    kind = _sections()[section] if section else Config
    if setting != "sources" and typing.get_origin(typing.get_type_hints(kind)[key]) is tuple:
        return None
    return f"{ENVIRONMENT_PREFIX}{setting.upper().replace('.', '__')}"


def _table(kind: type[msgspec.Struct], prefix: str) -> str:
    hints, must_be = typing.get_type_hints(kind), limits()
    rows = ["| setting, variable | meaning | type | default |", "| --- | --- | --- | --- |"]
    for key, default in _own(kind).items():
        name = f"{prefix}{key}"
        shown = f"`{key}`<br>`{variable_of(name)}`" if variable_of(name) else f"`{key}`"
        rows.append(
            f"| {shown} | {meaning(name)} | {', '.join(filter(None, [type_name(hints[key]), must_be.get(name)]))} "
            f"| `{json.dumps(default)}` |"
        )
    return "\n".join(rows) + "\n"


def _sections(kind: type[msgspec.Struct] = Config, prefix: str = "") -> dict[str, type[msgspec.Struct]]:
    """The sections in it by their dotted names, each before those inside it."""
    found: dict[str, type[msgspec.Struct]] = {}
    for field in msgspec.structs.fields(kind):
        if _is_section(field.type):
            found[f"{prefix}{field.name}"] = field.type
            found |= _sections(field.type, f"{prefix}{field.name}.")
    return found


def _own(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The settings right in it, with their defaults."""
    return {field.name: field.default for field in msgspec.structs.fields(kind) if not _is_section(field.type)}


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
