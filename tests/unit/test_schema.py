from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from streamer.messages import Envelope
from streamer.schema import PARTS, RECORDS, json_schemas, meaning, write_tables
from tests.golden.records import OBSERVATION

PAGE = Path(__file__).parents[2] / "docs" / "messages.md"


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
