from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.zoo import default_head
from streamer.config import Config, json_schema, load
from streamer.errors import UsageError


def write(folder: Path, text: str) -> Path:
    path = folder / "worker.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path | None = None, environment: dict[str, str] | None = None, **flags: Any) -> str:
    """The one sentence that such settings are refused with."""
    with pytest.raises(UsageError) as caught:
        load(path, environment, {name.replace("__", "."): value for name, value in flags.items()})
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_nothing_gives_the_defaults() -> None:
    assert load() == Config()


def test_where_no_head_is_named_a_model_has_its_own(tmp_path: Path) -> None:
    """That of the export, that made for the model of the zoo, or none."""
    assert load(None, None, {"models.expression": "face-api"}).models.head == Config().models.head
    assert Config().models.head == default_head("face-api")
    assert load(None, None, {"models.expression": "fer"}).models.head == "none"
    assert load(None, None, {"models.expression": "fer", "models.head": "ema"}).models.head == "ema"
    assert load(write(tmp_path, "models: {head: none}")).models.head == "none"
    own = tmp_path / "head.json"
    own.write_text("{}")
    assert load(None, None, {"models.expression": str(tmp_path)}).models.head == str(own)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "# nothing yet\n")) == Config()


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "state: {window: 4}\nbatch: {max_frames: 4}\ndecode: {threads: 4}\nbus: sqlite:///file.db\n")
    environment = {"STREAMER_BATCH__MAX_FRAMES": "5", "STREAMER_DECODE__THREADS": "5", "STREAMER_BUS": "sqlite:///e.db"}
    config = load(path, environment, {"decode.threads": 6, "bus": None})
    assert (config.state.window, config.batch.max_frames, config.decode.threads) == (4, 5, 6)
    assert config.bus == "sqlite:///e.db", "a flag that was not given changes nothing"
    assert config.batch.max_wait_s == Config().batch.max_wait_s, "one key of a section leaves the others"


@pytest.mark.parametrize(
    ("variable", "text", "setting", "value"),
    [
        ("STREAMER_TOPICS__PREFIX", "123", "topics.prefix", "123"),
        ("STREAMER_TOPICS__PREFIX", "on", "topics.prefix", "on"),
        ("STREAMER_TRACK__LOST_AFTER_S", "1e-1", "track.lost_after_s", 0.1),
        ("STREAMER_TRACK__LOST_AFTER_S", "2", "track.lost_after_s", 2.0),
        ("STREAMER_MODELS__FOLDER", "/weights: here", "models.folder", "/weights: here"),
        ("STREAMER_MODELS__PRECISION", "bf16", "models.precision", "bf16"),
        ("STREAMER_MODELS__DEVICE", "cuda", "models.device", "cuda"),
        ("STREAMER_BUS", "kafka://a:1,b:2?password=x: y", "bus", "kafka://a:1,b:2?password=x: y"),
        ("STREAMER_MODE", "live", "mode", "live"),
        ("STREAMER_SOURCES", "0", "sources", ("0",)),
        ("STREAMER_SOURCES", "door=a: b.mp4", "sources", ("door=a: b.mp4",)),
        ("STREAMER_SOURCES", "[a.mp4, 'b c.mp4']", "sources", ("a.mp4", "b c.mp4")),
    ],
)
def test_text_of_a_variable_becomes_what_the_setting_is(variable: str, text: str, setting: str, value: object) -> None:
    found: Any = load(None, {variable: text})
    for name in setting.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("STREAMER_STATE__WINDOW", "abc", "`int`"),
        ("STREAMER_STATE__WINDOW", "", "`int`"),
        ("STREAMER_STATE__WINDOW", "0", "state.window must be at least 1"),
        ("STREAMER_MODE", "sideways", "auto, live, archive"),
        ("STREAMER_SOURCES", "[a, b", "YAML list"),
        ("STREAMER_STATE__WINDO", "4", "no setting state.windo"),
        ("STREAMER_FOO__BAR", "1", "no setting foo.bar"),
        ("STREAMER_BUS__URL", "x", "no setting bus.url"),
        ("STREAMER_STATE__WINDOW__DEEP", "1", "no setting state.window.deep"),
        ("STREAMER_STATE__", "1", "no setting state."),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, says: str, tmp_path: Path) -> None:
    for path in (None, write(tmp_path, "state: {window: 3}\n")):
        sentence = refused(path, {variable: text})
        assert sentence.startswith(f"{variable}"), sentence
        assert says in sentence


def test_variables_that_are_not_settings_are_left_alone() -> None:
    others = {"STREAMER_PORT": "tcp://10.0.0.1:80", "STREAMER_SERVICE_HOST": "10.0.0.1", "AFFECT_STREAMER_CACHE": "/c"}
    assert load(None, others) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("detect: {score_treshold: 0.5}", "`score_treshold` - at `$.detect`"),
        ("detector: centerface", "`detector`"),
        ("state: {window: wide}", "`$.state.window`"),
        ("state: {window: 2.5}", "`$.state.window`"),
        ("state: 3", "`$.state`"),
        ("mode: sideways", "choose one of auto, live, archive"),
        ("models: {device: tpu}", "choose one of auto, cpu, cuda"),
        ("models: {precision: fp64}", "choose one of auto, fp32, bf16, fp16, int8"),
        ("sources: talk.mp4", "`$.sources`"),
        ("sources: [0]", "`$.sources[0]`"),
        ("{1: 2}", "key"),
        ("- a\n- b", "must hold a mapping of settings, not a list"),
        ("just words", "not a str"),
        ("a: b: c", "not valid YAML: line 1"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_named_with_the_place_in_it(text: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path, text + "\n")
    sentence = refused(path)
    assert sentence.startswith(str(path))
    assert says in sentence


def test_a_password_in_a_broken_line_is_not_repeated(tmp_path: Path) -> None:
    assert "hunter2" not in refused(write(tmp_path, "sources: ['http://me:hunter2@host/a.mp4'\n"))
    assert "hunter2" not in refused(None, {"STREAMER_SOURCES": "['http://me:hunter2@host/a.mp4'"})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "absent.yaml" in refused(tmp_path / "absent.yaml")
    assert "directory" in refused(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"bus: caf\xe9\n")
    assert "not valid YAML" in refused(tmp_path / "latin.yaml")


def test_a_value_where_a_section_belongs_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "state: 3\n")
    assert "state is a single value" in refused(path, {"STREAMER_STATE__WINDOW": "4"})


@pytest.mark.parametrize(
    ("setting", "wrong", "right"),
    [
        ("state.window", [0, -1], 1),
        ("topics.partitions", [0], 1),
        ("topics.replication_factor", [0], 1),
        ("topics.retention_s", [0.0, -1.0, float("inf")], 1.0),
        ("topics.retention.windows_s", [0.0, -1.0, float("inf")], 0.5),
        ("decode.max_pixels", [0], 1),
        ("decode.threads", [-1], 0),
        ("decode.queue_frames", [0], 1),
        ("batch.max_frames", [0], 1),
        ("batch.archive_frames", [0], 1),
        ("batch.max_wait_s", [-0.1, float("nan")], 0.0),
        ("worker.children", [-1], 0),
        ("worker.streams_per_child", [0], 1),
        ("worker.max_restarts", [-1], 0),
        ("worker.drain_timeout_s", [-1.0], 0.0),
        ("checkpoint.archive_interval_s", [0.0, float("nan")], 0.1),
        ("checkpoint.archive_max_records", [0], 1),
        ("checkpoint.live_interval_s", [0.0], 0.1),
        ("checkpoint.live_flush_s", [0.0], 0.01),
        ("track.lost_after_s", [0.0, -1.0], 0.1),
        ("track.confirm_after_s", [-0.1], 0.0),
        ("track.min_iou", [-0.1, 1.1], 0.0),
        ("track.new_track_score", [-0.1, 1.1], 1.0),
        ("detect.score_threshold", [0.0, 1.0, float("nan")], 0.01),
        ("detect.iou_threshold", [-0.1, 1.1], 1.0),
        ("detect.max_faces", [0], 1),
        ("detect.interval_s", [-0.1, float("nan")], 0.0),
    ],
)
def test_limits(setting: str, wrong: list[float], right: float, tmp_path: Path) -> None:
    load(None, None, {setting: right})
    for value in wrong:
        assert refused(None, None, **{setting: value}).startswith(f"the command line: {setting} must be ")
        tree: object = value
        for key in reversed(setting.split(".")):
            tree = {key: tree}
        text = json.dumps(tree).replace("NaN", ".nan").replace("Infinity", ".inf")
        path = write(tmp_path, text)
        assert refused(path).startswith(f"{path}: {setting} must be ")


def test_the_schema_names_every_setting_and_refuses_others() -> None:
    schema = json_schema()
    definitions = schema["$defs"]
    config = definitions["Config"]
    assert set(config["properties"]) == {field.name for field in msgspec.structs.fields(Config)}
    assert all(part.get("additionalProperties") is False for part in definitions.values())
    assert definitions["ModelSettings"]["properties"]["precision"]["enum"] == sorted(
        ["auto", "bf16", "fp16", "fp32", "int8"]
    )
    json.dumps(schema)


def test_settings_written_out_are_read_back(tmp_path: Path) -> None:
    config = load(None, None, {"bus": "kafka://host:9092", "sources": ["a.mp4"], "models.folder": "/w"})
    path = write(tmp_path, json.dumps(msgspec.to_builtins(config)))
    assert load(path) == config


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("9180", "9180"),
        ("0", "0"),
        ("'9180'", "9180"),
        ("127.0.0.1:9180", "127.0.0.1:9180"),
        ("'[::1]:9180'", "[::1]:9180"),
        ("''", ""),
    ],
)
def test_an_address_to_listen_at_may_be_a_bare_port(tmp_path: Path, written: str, address: str) -> None:
    config = load(write(tmp_path, f"control: {{address: {written}}}\n"))
    assert config.control.address == address
    assert (
        load(None, None, {"control.address": address}) == load(None, {"STREAMER_CONTROL__ADDRESS": address}) == config
    )
    for section in ("ControlSettings", "MetricsSettings"):
        assert json_schema()["$defs"][section]["properties"]["address"]["type"] == ["string", "integer"]


@pytest.mark.parametrize("written", ["-1", "123456", "somewhere", "9180.5", "true", "[9180]"])
def test_an_address_to_listen_at_that_is_none_is_a_sentence(tmp_path: Path, written: str) -> None:
    assert "control.address" in refused(write(tmp_path, f"control: {{address: {written}}}\n"))


def test_metrics_and_traces_go_to_addresses(tmp_path: Path) -> None:
    config = load(write(tmp_path, "metrics: {address: 9180}\ntracing: {endpoint: 'http://127.0.0.1:4318/v1/traces'}\n"))
    assert config.metrics.address == "9180"
    assert config.tracing.endpoint == "http://127.0.0.1:4318/v1/traces"
    assert config.tracing.sample_ratio == 0.01
    for wrong, key in (
        ("metrics: {address: nowhere}", "metrics.address"),
        ("tracing: {endpoint: 'localhost:4317'}", "tracing.endpoint"),
        ("tracing: {sample_ratio: 0}", "tracing.sample_ratio"),
        ("tracing: {sample_ratio: 1.5}", "tracing.sample_ratio"),
    ):
        assert key in refused(write(tmp_path, wrong + "\n"))
