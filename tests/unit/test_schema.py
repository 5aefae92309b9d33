from __future__ import annotations

import copy
import operator
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.config import Config, load
from streamer.errors import UsageError
from streamer.messages import SCHEMA_VERSION, Envelope
from streamer.schema import (
    PARTS,
    RECORDS,
    asyncapi,
    changes,
    configuration_page,
    configuration_schema,
    json_schemas,
    meaning,
    settings,
    variable_of,
    write_tables,
)
from streamer.schema.__main__ import files, main
from streamer.schema.setting_words import MEANINGS
from tests.golden.records import OBSERVATION

PAGE = Path(__file__).parents[2] / "docs" / "messages.md"
ACCEPTED = PAGE.parent / "schema" / f"v{SCHEMA_VERSION}.json"
Changed = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("kind", [Envelope, *RECORDS, *PARTS])
def test_every_field_is_explained(kind: type[msgspec.Struct]) -> None:
    for field in kind.__struct_fields__:
        assert meaning(kind, field)


def test_the_schemas_describe_every_record_and_part() -> None:
    schemas = json_schemas()["$defs"]
    assert set(schemas) == {kind.__name__ for kind in (*RECORDS, *PARTS)}
    observation = schemas["Observation"]
    assert set(observation["properties"]) == set(OBSERVATION.__struct_fields__)
    assert observation["properties"]["valence"]["description"].startswith("-1")
    assert "label" in observation["required"]
    assert "prev_seq" not in observation["required"]
    text = msgspec.json.encode(schemas).decode()
    assert set(re.findall(r"#/\$defs/(\w+)", text)) <= set(schemas)


def test_the_page_has_the_tables_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert write_tables(page) == page, "run `python -m streamer.schema docs/messages.md`"
    assert page.count("<!-- generated:") == len(RECORDS) + len(PARTS) + 2


def test_the_files_are_what_the_code_says() -> None:
    for path, text in files(PAGE).items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m streamer.schema docs/messages.md`"


def test_the_schema_breaks_no_reader_of_the_accepted_one() -> None:
    assert changes(msgspec.json.decode(ACCEPTED.read_bytes()), json_schemas()).faults == []


def _remove_field(now: dict[str, Any]) -> None:
    del now["Observation"]["properties"]["valence"]


def _remove_record(now: dict[str, Any]) -> None:
    del now["JobStatus"]


def _change_type(now: dict[str, Any]) -> None:
    now["Observation"]["properties"]["face_px"]["type"] = "string"


def _narrow_type(now: dict[str, Any]) -> None:
    now["Window"]["properties"]["label"] = {"type": "string"}


def _change_items(now: dict[str, Any]) -> None:
    now["Observation"]["properties"]["probs"]["items"]["type"] = "string"


def _add_required(now: dict[str, Any]) -> None:
    now["Status"]["properties"]["mood"] = {"type": "string"}
    now["Status"]["required"].append("mood")


def _become_required(now: dict[str, Any]) -> None:
    now["Status"]["required"].append("cause")


def _become_optional(now: dict[str, Any]) -> None:
    now["Status"]["required"].remove("state")


def _lose_value(now: dict[str, Any]) -> None:
    now["Status"]["properties"]["state"]["enum"].remove("stalled")


def _change_default(now: dict[str, Any]) -> None:
    now["Job"]["properties"]["attempt"]["default"] = 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_remove_field, "Observation.valence was removed"),
        (_remove_record, "JobStatus was removed"),
        (_change_type, "Observation.face_px changed from 'number' to 'string'"),
        (_narrow_type, "Window.label lost anyOf"),
        (_change_items, "Observation.probs changed from 'number' to 'string'"),
        (_add_required, "Status.mood is new and required"),
        (_become_required, "Status.cause became required"),
        (_become_optional, "Status.state is no longer required"),
        (_lose_value, "Status.state lost the value 'stalled'"),
        (_change_default, "Job.attempt changed from 1 to 0"),
    ],
)
def test_what_breaks_a_reader_is_refused(change: Changed, words: str) -> None:
    now = copy.deepcopy(json_schemas())
    change(now["$defs"])
    assert words in "; ".join(changes(json_schemas(), now).faults)


def test_growth_is_allowed_and_told() -> None:
    now = copy.deepcopy(json_schemas())
    now["$defs"]["Status"]["properties"]["mood"] = {"type": "string", "default": ""}
    now["$defs"]["Status"]["properties"]["state"]["enum"].append("resting")
    now["$defs"]["Status"]["properties"]["state"]["description"] = "in other words"
    now["$defs"]["Weather"] = {"properties": {}}
    found = changes(json_schemas(), now)
    assert found.faults == []
    assert sorted(found.growth) == [
        "Status.mood is new",
        "Status.state may be 'resting': readers of the earlier schema do not know it",
        "Weather is new",
    ]


def test_the_command_writes_the_files_and_refuses_to_break_readers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "messages.md"
    shutil.copy(PAGE, page)
    assert main([str(page)]) == 0
    schema = tmp_path / "schema" / "messages.schema.json"
    assert schema.read_bytes() == (PAGE.parent / "schema" / schema.name).read_bytes()
    accepted = msgspec.json.decode((tmp_path / "schema" / ACCEPTED.name).read_bytes())
    accepted["$defs"]["Status"]["properties"]["gone"] = {"type": "string"}
    (tmp_path / "schema" / ACCEPTED.name).write_bytes(msgspec.json.encode(accepted))
    schema.unlink()
    assert main([str(page)]) == 1
    assert "Status.gone was removed" in capsys.readouterr().err
    assert not schema.exists()


def test_the_asyncapi_document_names_every_message_and_all_its_references_lead_somewhere() -> None:
    document = asyncapi()
    assert set(document["components"]["messages"]) == {kind.__name__ for kind in RECORDS}
    assert document["channels"]["jobs_status"]["address"] == "affect.jobs.status"
    references = re.findall(r'"\$ref":"#/([^"]+)"', msgspec.json.encode(document).decode())
    assert len(references) > 30
    for reference in references:
        place: Any = document
        for step in reference.split("/"):
            place = place[step]
        assert place


def test_the_pages_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from streamer.bus.open import open_bus
    from streamer.bus.topics import outgoing, topics
    from streamer.config import TopicSettings

    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    bus = open_bus("sqlite:///affect.db")
    bus.ensure_topics(topics(TopicSettings()).all())
    bus.producer().send([outgoing(OBSERVATION, TopicSettings())])
    bus.close()
    exec(compile(example, "docs/messages.md", "exec"), {})
    assert capsys.readouterr().out == "camera-1/entrance 1.36 Happy 0.61234\n"


def test_every_setting_is_explained_and_nothing_else_is() -> None:
    assert set(MEANINGS) == set(settings()), "say in streamer/schema/setting_words.py what it means"


def test_the_page_of_settings_names_variable_default_and_limit_of_each() -> None:
    page = configuration_page()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(settings())
    window = next(row for row in rows if "STREAMER_STATE__WINDOW" in row)
    assert [cell.strip() for cell in window.split("|")[3:5]] == ["integer, at least 1", "`16`"]
    for setting in settings():
        assert page.count(f"<br>`{variable_of(setting)}` |") == (variable_of(setting) is not None)


@pytest.mark.parametrize("setting", [setting for setting in settings() if variable_of(setting)])
def test_the_variable_on_the_page_sets_the_setting(setting: str) -> None:
    """One that is misspelt is refused, so none of them is."""
    default: Any = operator.attrgetter(setting)(Config())
    text = default if isinstance(default, str) else msgspec.json.encode(default or 5).decode()
    variable = variable_of(setting)
    load(None, {f"{variable}": "true" if default is False else text})
    if "__" in f"{variable}":
        with pytest.raises(UsageError, match="there is no setting"):
            load(None, {f"{variable}_X": text})


@pytest.mark.parametrize("setting", ["fleet.roles", "connect.networks"])
def test_a_list_has_no_variable(setting: str) -> None:
    assert variable_of(setting) is None
    with pytest.raises(UsageError, match="array"):
        load(None, {f"STREAMER_{setting.upper().replace('.', '__')}": "[jobs]"})


def test_the_schema_of_the_configuration_explains_every_setting() -> None:
    definitions = configuration_schema()["$defs"]
    parts = [part for kind in definitions.values() for part in kind["properties"].values() if "$ref" not in part]
    assert len(parts) == len(settings())
    assert all(part["description"] for part in parts)
