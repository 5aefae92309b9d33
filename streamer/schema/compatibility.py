"""Whether readers of an earlier schema can read what is written by the present one, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_WORDS = ("description", "title", "enum")


@dataclass(slots=True)
class Changes:
    """`faults` break somebody; `growth` is allowed, and a reader has to be ready for it."""

    faults: list[str] = field(default_factory=list)
    growth: list[str] = field(default_factory=list)


def changes(earlier: Mapping[str, Any], present: Mapping[str, Any]) -> Changes:
    """What changed between two documents of `json_schemas`.

    Within a version records and fields are only added, a new field has a default (it is absent in what was written
    before), a field keeps its type, its default and whether it is always there, and an enumeration only grows.
    """
    found = Changes()
    before, now = earlier["$defs"], present["$defs"]
    for name, record in before.items():
        if name not in now:
            found.faults.append(f"{name} was removed")
        else:
            _compare_record(name, record, now[name], found)
    found.growth += [f"{name} is new" for name in now if name not in before]
    return found


def _compare_record(name: str, before: Mapping[str, Any], now: Mapping[str, Any], found: Changes) -> None:
    required_before, required_now = set(before.get("required", ())), set(now.get("required", ()))
    for field_name, schema in before["properties"].items():
        place = f"{name}.{field_name}"
        if field_name not in now["properties"]:
            found.faults.append(f"{place} was removed")
            continue
        if field_name in required_now - required_before:
            found.faults.append(f"{place} became required: what was written before may lack it")
        if field_name in required_before - required_now:
            found.faults.append(f"{place} is no longer required: readers count on it")
        _compare_type(place, schema, now["properties"][field_name], found)
    for field_name in now["properties"].keys() - before["properties"].keys():
        if field_name in required_now:
            found.faults.append(f"{name}.{field_name} is new and required: what was written before lacks it")
        else:
            found.growth.append(f"{name}.{field_name} is new")


def _compare_type(place: str, before: Any, now: Any, found: Changes) -> None:
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        if before != now:
            found.faults.append(f"{place} changed from {before!r} to {now!r}")
        return
    values_before, values_now = before.get("enum"), now.get("enum")
    if (values_before is None) != (values_now is None):
        found.faults.append(f"{place} began or ceased to be an enumeration")
    elif values_before is not None and values_now is not None:
        found.faults += [f"{place} lost the value {value!r}" for value in values_before if value not in values_now]
        new = [value for value in values_now if value not in values_before]
        found.growth += [f"{place} may be {value!r}: readers of the earlier schema do not know it" for value in new]
    for key in sorted((before.keys() | now.keys()) - set(_WORDS)):
        if key not in before or key not in now:
            found.faults.append(
                f"{place} {'lost' if key in before else 'gained'} {key} {before.get(key, now.get(key))!r}"
            )
        elif isinstance(before[key], list) and isinstance(now[key], list) and len(before[key]) == len(now[key]):
            for part_before, part_now in zip(before[key], now[key], strict=True):
                _compare_type(place, part_before, part_now, found)
        else:
            _compare_type(place, before[key], now[key], found)
