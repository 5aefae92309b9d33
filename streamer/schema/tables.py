"""The tables in docs/messages.md."""

from __future__ import annotations

import re
import typing
from types import NoneType
from typing import Any

import msgspec

from streamer.bus.topics import Topics, topics
from streamer.config import TopicSettings
from streamer.messages import Envelope
from streamer.schema.words import KEYS, PARTS, RECORDS, SAYS, meaning

_MARK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def topics_table() -> str:
    """The topics as a Markdown table."""
    names = topics(TopicSettings())
    rows = ["| topic | key | cleanup | partitions | what a record says |", "| --- | --- | --- | --- | --- |"]
    for field in Topics.__slots__:
        topic = getattr(names, field)
        cleanup = topic.cleanup.replace(",", " + ")
        rows.append(
            f"| `{topic.name}` | {KEYS.get(field, 'stream id')} | {cleanup} | {topic.partitions} | {SAYS[field]} |"
        )
    return "\n".join(rows) + "\n"


def fields_table(kind: type[msgspec.Struct]) -> str:
    """A record's own fields as a Markdown table: those every stream record carries stand in `Envelope`."""
    shared = set(Envelope.__struct_fields__) if issubclass(kind, Envelope) and kind is not Envelope else set()
    hints = typing.get_type_hints(kind)
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    rows += [
        f"| `{name}` | {type_name(hints[name])} | {meaning(kind, name)} |"
        for name in kind.__struct_fields__
        if name not in shared
    ]
    return "\n".join(rows) + "\n"


def write_tables(page: str) -> str:
    """The page with every generated part (`<!-- generated: Name -->` to `<!-- end -->`) written anew."""
    kinds: tuple[type[msgspec.Struct], ...] = (Envelope, *RECORDS, *PARTS)
    tables = {kind.__name__: fields_table(kind) for kind in kinds} | {"topics": topics_table()}
    return _MARK.sub(lambda match: f"{match[1]}{tables[match[2]]}{match[3]}", page)


def type_name(hint: Any) -> str:
    """A type in the words of the tables."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"map of {type_name(arguments[1])}"
    if arguments:
        return " or ".join(type_name(argument) for argument in arguments)
    simple = {str: "string", int: "integer", float: "real", bool: "true or false", bytes: "bytes", NoneType: "null"}
    return simple.get(hint) or f"[{hint.__name__}](#{hint.__name__.lower()})"
