"""The bytes of every kind of record, as other programs and older versions know them."""

from __future__ import annotations

import json
import math
import typing
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import UndecodableRecord
from streamer.messages import CONTENT_TYPE, SCHEMA_VERSION, Format, Observation, decode, encode
from streamer.schema import RECORDS as KINDS
from tests.golden.records import DATA, FORMATS, OBSERVATION, RECORDS


def golden(name: str, format: Format) -> bytes:
    if format == "json":
        return (DATA / f"{name}.json").read_bytes().removesuffix(b"\n")
    return bytes.fromhex((DATA / f"{name}.msgpack.hex").read_text())


def change(encoded: bytes, format: Format, changes: dict[str, Any]) -> bytes:
    """The same record with fields set, or with ... taken away."""
    tree = json.loads(encoded) if format == "json" else msgpack.unpackb(encoded)
    tree = {key: field for key, field in {**tree, **changes}.items() if field is not ...}
    packed: bytes = json.dumps(tree).encode() if format == "json" else msgpack.packb(tree)
    return packed


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", RECORDS)
def test_bytes_are_the_golden_ones(name: str, format: Format) -> None:
    assert encode(RECORDS[name], format) == golden(name, format), (
        "the bytes of a record changed: within a schema version fields are only ever added. If that is what you did,"
        " run `python -m tests.golden.records` and look at the difference"
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", RECORDS)
def test_golden_bytes_are_read_back(name: str, format: Format) -> None:
    record = RECORDS[name]
    assert decode(golden(name, format), type(record), CONTENT_TYPE[format]) == record


@pytest.mark.parametrize("name", RECORDS)
def test_another_messagepack_library_reads_the_same(name: str) -> None:
    theirs = msgpack.unpackb(golden(name, "msgpack"), use_list=False)
    assert theirs == _tuples(msgspec.to_builtins(RECORDS[name], builtin_types=(bytes,)))


@pytest.mark.parametrize("name", RECORDS)
def test_the_fields_are_plain_maps_by_name(name: str) -> None:
    tree = msgpack.unpackb(golden(name, "msgpack"))
    assert list(tree) == list(RECORDS[name].__struct_fields__)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", RECORDS)
def test_a_field_of_the_future_is_ignored(name: str, format: Format) -> None:
    record = RECORDS[name]
    value = change(golden(name, format), format, {"something_new": {"deep": [1, None]}})
    assert decode(value, type(record), CONTENT_TYPE[format]) == record


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", RECORDS)
def test_a_missing_required_field_is_named(name: str, format: Format) -> None:
    record = RECORDS[name]
    for field in msgspec.structs.fields(record):
        value = change(golden(name, format), format, {field.name: ...})
        if field.required:
            with pytest.raises(UndecodableRecord, match=field.name):
                decode(value, type(record), CONTENT_TYPE[format])
        else:
            decode(value, type(record), CONTENT_TYPE[format])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", RECORDS)
def test_a_newer_schema_version_is_refused(name: str, format: Format) -> None:
    value = change(golden(name, format), format, {"v": SCHEMA_VERSION + 1})
    with pytest.raises(UndecodableRecord, match="newer"):
        decode(value, type(RECORDS[name]), CONTENT_TYPE[format])


@pytest.mark.parametrize(
    "changes",
    [{"label": 3}, {"probs": "many"}, {"track": None}, {"seq": 1.5}, {"quality": "fine"}, {"time_origin": "sundial"}],
)
def test_a_field_of_another_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UndecodableRecord, match=next(iter(changes))):
        decode(change(golden("observation", "msgpack"), "msgpack", changes), Observation)


def test_a_truncated_record_and_an_unknown_content_type_are_refused() -> None:
    value = encode(OBSERVATION)
    for cut in range(0, len(value), 7):
        with pytest.raises(UndecodableRecord):
            decode(value[:cut], Observation)
    with pytest.raises(UndecodableRecord, match="text/xml"):
        decode(value, Observation, b"text/xml")


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_REAL = st.floats(allow_nan=False, allow_infinity=False)
_COUNT = st.integers(-(2**63), 2**63 - 1)


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _records(annotation)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=8).map(tuple)
    if origin is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=4)
    if arguments:  # a union
        return st.one_of(*(_values(argument) for argument in arguments))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: _TEXT,
        int: _COUNT,
        float: _REAL,
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        type(None): st.none(),
    }
    return simple[annotation]


def _records(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = {field.name: _values(field.type) for field in msgspec.structs.fields(kind) if field.name != "v"}
    return st.builds(kind, **fields)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_record_comes_back_as_it_was(kind: type[msgspec.Struct], format: Format) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(_records(kind))
    def check(record: msgspec.Struct) -> None:
        assert decode(encode(record, format), kind, CONTENT_TYPE[format]) == record

    check()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.sampled_from(KINDS), st.sampled_from([*CONTENT_TYPE.values(), b"", b"\xff"]))
def test_arbitrary_bytes_are_a_record_or_undecodable(
    value: bytes, kind: type[msgspec.Struct], content_type: bytes
) -> None:
    try:
        decode(value, kind, content_type)
    except UndecodableRecord:
        pass


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(sorted(RECORDS)), st.sampled_from(FORMATS))
def test_a_damaged_record_is_a_record_or_undecodable(data: st.DataObject, name: str, format: Format) -> None:
    value = bytearray(golden(name, format))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    try:
        record = decode(bytes(value), type(RECORDS[name]), CONTENT_TYPE[format])
    except UndecodableRecord:
        return
    assert isinstance(record, type(RECORDS[name]))


@pytest.mark.parametrize("value", [b"[" * 100_000, b'{"x":' * 100_000, b"\x91" * 100_000, b"\x81\xa1x" * 100_000])
def test_deep_nesting_is_undecodable(value: bytes) -> None:
    for content_type in CONTENT_TYPE.values():
        with pytest.raises(UndecodableRecord):
            decode(value, Observation, content_type)


def test_json_has_no_number_that_json_cannot_say() -> None:
    broken = msgspec.structs.replace(OBSERVATION, valence=math.nan)
    assert json.loads(encode(broken, "json"))["valence"] is None  # and so no reader takes it for a record
    with pytest.raises(UndecodableRecord, match="valence"):
        decode(encode(broken, "json"), Observation, CONTENT_TYPE["json"])


def _tuples(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _tuples(value) for key, value in tree.items()}
    return tuple(_tuples(value) for value in tree) if isinstance(tree, list | tuple) else tree
