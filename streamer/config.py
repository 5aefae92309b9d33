"""All settings as one typed object, read from YAML, environment and flags (flags win).

Every stage takes its own part and nothing reads the environment on its own.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from engines.zoo import default_head, exported_head
from streamer.errors import UsageError
from streamer.source import Kind

ENVIRONMENT_PREFIX = "STREAMER_"
LISTEN = r"(?:(?:([^:\s\[\]]+)|\[([0-9A-Fa-f:]+)\]):)?([0-9]{1,5})"
"""`PORT` or `HOST:PORT`: a name or IPv4 host, or an IPv6 one in brackets, and the port."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models run. `folder` is a local folder of weights used instead of the registries.

    `expression` is a name of the zoo or the folder of a model of your own that `engines export` wrote. `head` is
    `none`, `mean`, a head that comes with the package, or the path of a head.json; where it is not given, a folder's
    own head is used if it has one, and a model of the zoo has the head that was made for it, if any. `int8` takes the
    folder's quantised network.
    `auto` is the CPU; `cuda` takes the first NVIDIA GPU, by a TensorRT plan where `engines build` made one that fits.
    """

    detector: str = "centerface"
    expression: str = "face-api"
    head: str = default_head("face-api")
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    folder: str | None = None


class DetectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Detection: score and overlap limits, and how many pixels the detector's input has.

    Faces scored below `track.new_track_score` only carry tracks on that stronger ones have begun.
    Whole pictures are searched every `interval_s` of media time (0: every one); in between known faces are looked for
    again in squares around them, shown to the detector `region_px` pixels wide: every frame has fresh points.
    """

    score_threshold: float = 0.35
    iou_threshold: float = 0.3
    max_faces: int = 64
    input_size: Literal["small", "medium", "large"] = "small"
    interval_s: float = 0.2
    region_px: Literal[64, 96, 128] = 96


class TrackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tracking. Lifetimes are seconds of media time."""

    new_track_score: float = 0.5
    min_iou: float = 0.4
    lost_after_s: float = 1.0
    confirm_after_s: float = 0.0


class QualitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Below these limits an observation is `quality: low` and gets no label."""

    min_face_px: float = 24.0
    max_abs_yaw_deg: float = 60.0
    max_abs_roll_deg: float = 75.0
    min_detector_score: float = 0.5


class StateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The per-stream state: s, the observations of a block. What STAT is taken of is the head's own to say."""

    window: int = 16


class DecodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on what is decoded."""

    max_pixels: int = 8192 * 8192
    max_damaged_packets: int = 100
    threads: int = 1
    queue_frames: int = 8


class ConnectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sources are reached and watched.

    A source must answer within `open_timeout_s`. A live one that gives nothing for `no_frame_s` is stalled and opened
    again. Readers stuck in the decoder's library are left behind; with more than `max_hung` of them in one process the
    process is replaced.
    `rtsp_transport` is for addresses that choose none. `networks` are the internal networks (`10.0.0.0/8`) that
    redirects and playlists may lead to; where a source itself lies is always allowed. `page_height` is the least height
    in pixels wanted of a page's video, `cookies` a file of them for pages that want some.
    """

    open_timeout_s: float = 10.0
    no_frame_s: float = 5.0
    max_hung: int = 4
    rtsp_transport: Literal["tcp", "udp", "auto"] = "tcp"
    networks: tuple[str, ...] = ()
    max_redirects: int = 5
    page_height: int = 480
    cookies: str | None = None


class FrameSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which frames are analysed, and how much of them.

    `sample_fps` frames a second of media time at most (null: every one); with `keyframes_only` nothing else is decoded.
    A live frame older than `late_s` when its turn comes is dropped (0: never). Of a frame the `max_faces` largest faces
    are analysed (0: all).
    """

    sample_fps: float | None = None
    keyframes_only: bool = False
    late_s: float = 0.0
    max_faces: int = 0


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work that is saved where nothing changes; off by default, and said in the records where it is used.

    `still_scene`: a whole picture that has not changed is not searched for faces again, for at most `still_max_s` of
    media time. `same_face`: the models are not asked again about a face that has not changed, for at most `same_max_s`.
    """

    still_scene: bool = False
    still_max_s: float = 1.0
    same_face: bool = False
    same_max_s: float = 1.0


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many frames go through the models together, and how long a live frame may wait for company.

    `archive_frames` is for a process that has archives alone, and for each of its hands.
    """

    max_frames: int = 8
    archive_frames: int = 32
    max_wait_s: float = 0.01


class CheckpointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When results and state are committed: archive by time or count, live snapshots by time.

    Live state is kept for `grace_s` without a source or an owner; snapshots of one process are held to
    `live_bytes_per_s`.
    """

    archive_interval_s: float = 2.0
    archive_max_records: int = 2000
    live_interval_s: float = 5.0
    live_flush_s: float = 0.05
    live_bytes_per_s: int = 2_000_000
    grace_s: float = 30.0


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many seconds single topics keep their records, where that is not `topics.retention_s` (null).

    Compacted topics keep the newest record of each key until it is deleted; of them only `status` also forgets by age.
    """

    observations_s: float | None = None
    windows_s: float | None = None
    tracks_s: float | None = None
    archive_observations_s: float | None = None
    archive_windows_s: float | None = None
    archive_tracks_s: float | None = None
    status_s: float | None = None
    jobs_s: float | None = None
    deadletter_s: float | None = None


class TopicSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names, shape and retention of the topics. `retention_s` is for those that `retention` says nothing of."""

    prefix: str = "affect"
    partitions: int = 64
    replication_factor: int = 1
    min_insync_replicas: int = 1
    retention_s: float = 7 * 86400.0
    retention: RetentionSettings = RetentionSettings()
    format: Literal["msgpack", "json"] = "msgpack"
    compression: Literal["none", "gzip"] = "none"


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The supervisor and its children; `children: 0` means one a core."""

    children: int = 0
    streams_per_child: int = 4
    max_restarts: int = 3
    drain_timeout_s: float = 10.0


ALLOWED_KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "webcam")


class FleetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member of the fleet (`streamer worker`).

    `name` is unique in the fleet, the host's name when empty. `max_streams` and `job_slots` 0 are
    `worker.streams_per_child` for each child, `max_fps` 0 is no limit on frames a second. `host_streams` bounds the
    connections to one host (0: no bound), `host_starts` those being opened to it at once, `starts_per_s` all of them.
    What others ask for over the bus is limited to the kinds of source in `allow`, files to the folders `roots`, and
    addresses of internal networks to `networks` (`192.168.0.0/16`); where these name none: anything on an SQLite bus,
    nothing on Kafka.
    """

    name: str = ""
    roles: tuple[Literal["streams", "jobs"], ...] = ("streams", "jobs")
    max_streams: int = 0
    max_fps: float = 0.0
    job_slots: int = 0
    static_membership: bool = False
    session_timeout_s: float = 10.0
    hand_over_s: float = 5.0
    host_streams: int = 0
    host_starts: int = 4
    starts_per_s: float = 10.0
    allow: tuple[Kind, ...] = ALLOWED_KINDS
    roots: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    job_attempts: int = 3
    job_retry_s: float = 30.0


class ControlSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the process can be looked at and changed over HTTP: `PORT`, or `HOST:PORT`; nowhere when empty.

    Other than on loopback (`127.0.0.1`, the host where none is given) that takes a token: the text of `token_file`, or
    the variable STREAMER_CONTROL_TOKEN.
    """

    address: str = ""
    token_file: str | None = None


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the process shows metrics, streams and whether it is ready over HTTP, and takes no changes: `PORT`, or
    `HOST:PORT`; nowhere when empty.

    Other than on loopback that takes a token: the text of `token_file`, or the variable STREAMER_METRICS_TOKEN.
    """

    address: str = ""
    token_file: str | None = None


class TracingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where traces go: a receiver of OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`; nowhere when empty.

    Of the batches of frames `sample_ratio` are traced. Needs the extra `otel`.
    """

    endpoint: str = ""
    sample_ratio: float = 0.01


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `streamer dashboard` listens: `PORT`, or `HOST:PORT`.

    Other than on loopback that takes a token, which people are asked for: the text of `token_file`, or the variable
    STREAMER_DASHBOARD_TOKEN.
    """

    address: str = "127.0.0.1:9190"
    token_file: str | None = None


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where live records wait while the broker is away: a folder (the user's state folder when null), bounded.

    Records unacknowledged for `after_s` go to the disk; beyond `max_bytes` the oldest are discarded, counted.
    """

    folder: str | None = None
    max_bytes: int = 1024**3
    after_s: float = 0.5


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    bus: str = "sqlite:///affect.db"
    sources: tuple[str, ...] = ()
    mode: Literal["auto", "live", "archive"] = "auto"
    models: ModelSettings = ModelSettings()
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    quality: QualitySettings = QualitySettings()
    state: StateSettings = StateSettings()
    decode: DecodeSettings = DecodeSettings()
    connect: ConnectSettings = ConnectSettings()
    frames: FrameSettings = FrameSettings()
    gates: GateSettings = GateSettings()
    batch: BatchSettings = BatchSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    topics: TopicSettings = TopicSettings()
    worker: WorkerSettings = WorkerSettings()
    fleet: FleetSettings = FleetSettings()
    spool: SpoolSettings = SpoolSettings()
    control: ControlSettings = ControlSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    dashboard: DashboardSettings = DashboardSettings()


def load(
    path: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Config:
    """The configuration from a YAML file, `STREAMER_SECTION__KEY` variables and flags (`{"models.head": "mean"}`).

    The settings outside of sections are `STREAMER_BUS`, `STREAMER_MODE` and `STREAMER_SOURCES` (one source, or a YAML
    list). Other variables without `__` are left alone: a container platform makes some of its own (`STREAMER_PORT`)
    where a service has that name. Raises `UsageError` naming the file or the variable, and the key.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        tree = _read_yaml(path)
    origins: dict[str, str] = {}
    for name, text in sorted((environment or {}).items()):
        dotted = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        if name.startswith(ENVIRONMENT_PREFIX) and ("." in dotted or dotted in ("bus", "mode", "sources")):
            _put(tree, dotted, _from_text(dotted, text, name), name)
            origins[dotted] = name
    for name, value in (flags or {}).items():
        if value is not None:
            _put(tree, name, value, name)
            origins[name] = "the command line"
    _default_head(tree)
    _port_alone(tree)
    origin = str(path) if path else "the settings"
    try:
        config = msgspec.convert(tree, Config, strict=True)
    except msgspec.ValidationError as error:
        key = str(error).rpartition("$.")[2].rstrip("`")
        raise UsageError(f"{origin}: {error}{_choices(_type_of(key))}") from error
    _check(config, origin, origins)
    return config


def with_models(
    models: ModelSettings,
    *,
    expression: str | None = None,
    head: str | None = None,
    detector: str | None = None,
    precision: str | None = None,
) -> ModelSettings:
    """`models` with these instead, as somebody asked for over the bus; the head goes with the expression model."""
    changed = {"expression": expression, "head": head, "detector": detector, "precision": precision}
    given = {name: value for name, value in changed.items() if value is not None}
    if expression is not None and expression != models.expression and head is None:
        given["head"] = default_head(expression)
    return msgspec.convert(msgspec.to_builtins(models) | given, ModelSettings)


def _default_head(tree: dict[str, Any]) -> None:
    """Where no head was named: an exported model's own, or the one made for the model of the zoo."""
    models = tree.get("models")
    if isinstance(models, dict) and "head" not in models and isinstance(models.get("expression"), str):
        own = exported_head(models["expression"])
        tree["models"] = models | {"head": default_head(models["expression"]) if own is None else str(own)}


def _port_alone(tree: dict[str, Any]) -> None:
    """YAML takes a bare port for a number: an address is text, `--control 9180` and `address: 9180` the same."""
    for name in ("control", "metrics", "dashboard"):
        section = tree.get(name)
        if isinstance(section, dict) and type(section.get("address")) is int:
            tree[name] = section | {"address": str(section["address"])}


def _from_text(dotted: str, text: str, variable: str) -> Any:
    """The value that an environment variable gives to a setting: text becomes what the setting is."""
    wanted = _type_of(dotted)
    if wanted is None or _is_section(wanted):
        raise UsageError(f"{variable}: there is no setting {dotted}; `streamer check --schema` lists those there are")
    if dotted == "sources":
        return _source_list(text, variable)
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{variable} is {text!r}: {error}{_choices(wanted)}") from error


def _source_list(text: str, variable: str) -> list[str]:
    """One source as it is, since a name may look like YAML (`0`, `a: b`), or several as a YAML list in brackets."""
    if not text.startswith("["):
        return [text]
    import yaml  # takes longer than most of what else a process imports, and few need it

    try:
        return msgspec.convert(yaml.safe_load(text), list[str])
    except (yaml.YAMLError, msgspec.ValidationError) as error:  # the text may hold a password: it is not repeated
        raise UsageError(f"{variable} begins as a YAML list of texts and is none: write [a.mp4, 'b.mp4']") from error


def _type_of(dotted: str) -> Any:
    """The type of a setting or section; None where there is none of that name."""
    wanted: Any = Config
    for key in dotted.split("."):
        types = {field.name: field.type for field in msgspec.structs.fields(wanted)} if _is_section(wanted) else {}
        wanted = types.get(key)
    return wanted


def _choices(kind: Any) -> str:
    return f": choose one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except yaml.MarkedYAMLError as error:  # its own text repeats the line, which may hold a password
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UsageError(f"{path} is not valid YAML: line {line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path} must hold a mapping of settings, not a {type(tree).__name__}")
    return tree


def _put(tree: dict[str, Any], dotted: str, value: Any, origin: str) -> None:
    *sections, key = dotted.split(".")
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{origin}: {section} is a single value, not a section")
        tree = inner
    tree[key] = value


def limits() -> dict[str, str]:
    """What each setting with a limit must be, in words, by its name (`state.window`: `at least 1`)."""
    return {name: wanted for name, _, wanted in _limits(Config())}


def _check(config: Config, origin: str, origins: Mapping[str, str]) -> None:
    for name, holds, wanted in _limits(config):
        if not holds:
            raise UsageError(f"{origins.get(name, origin)}: {name} must be {wanted}")


def _limits(config: Config) -> tuple[tuple[str, bool, str], ...]:
    """Every limit: the setting, whether `config` keeps to it, and what it must be."""
    return (
        ("state.window", config.state.window >= 1, "at least 1"),
        ("topics.partitions", config.topics.partitions >= 1, "at least 1"),
        ("topics.replication_factor", config.topics.replication_factor >= 1, "at least 1"),
        ("topics.retention_s", 0 < config.topics.retention_s < math.inf, "more than 0"),
        *(
            (f"topics.retention.{name}", kept_s is None or 0 < kept_s < math.inf, "more than 0, or null")
            for name, kept_s in msgspec.structs.asdict(config.topics.retention).items()
        ),
        ("decode.max_pixels", config.decode.max_pixels >= 1, "at least 1"),
        ("decode.threads", config.decode.threads >= 0, "0 (one a core) or more"),
        ("decode.queue_frames", config.decode.queue_frames >= 1, "at least 1"),
        ("connect.open_timeout_s", config.connect.open_timeout_s > 0, "more than 0"),
        ("connect.no_frame_s", config.connect.no_frame_s > 0, "more than 0"),
        ("connect.max_hung", config.connect.max_hung >= 0, "0 or more"),
        ("connect.networks", _are_networks(config.connect.networks), "networks such as 10.0.0.0/8"),
        ("connect.max_redirects", config.connect.max_redirects >= 0, "0 or more"),
        ("connect.page_height", config.connect.page_height >= 1, "at least 1"),
        ("frames.sample_fps", config.frames.sample_fps is None or config.frames.sample_fps > 0, "more than 0, or null"),
        ("frames.late_s", config.frames.late_s >= 0, "0 (never) or more"),
        ("frames.max_faces", config.frames.max_faces >= 0, "0 (all) or more"),
        ("gates.still_max_s", config.gates.still_max_s > 0, "more than 0"),
        ("gates.same_max_s", config.gates.same_max_s > 0, "more than 0"),
        ("fleet.networks", _are_networks(config.fleet.networks), "networks such as 192.168.0.0/16"),
        ("batch.max_frames", config.batch.max_frames >= 1, "at least 1"),
        ("batch.archive_frames", config.batch.archive_frames >= 1, "at least 1"),
        ("batch.max_wait_s", config.batch.max_wait_s >= 0, "0 or more"),
        ("worker.children", config.worker.children >= 0, "0 (one a core) or more"),
        ("worker.streams_per_child", config.worker.streams_per_child >= 1, "at least 1"),
        ("worker.max_restarts", config.worker.max_restarts >= 0, "0 or more"),
        ("worker.drain_timeout_s", config.worker.drain_timeout_s >= 0, "0 or more"),
        ("checkpoint.archive_interval_s", config.checkpoint.archive_interval_s > 0, "more than 0"),
        ("checkpoint.archive_max_records", config.checkpoint.archive_max_records >= 1, "at least 1"),
        ("checkpoint.live_interval_s", config.checkpoint.live_interval_s > 0, "more than 0"),
        ("checkpoint.live_flush_s", config.checkpoint.live_flush_s > 0, "more than 0"),
        ("checkpoint.live_bytes_per_s", config.checkpoint.live_bytes_per_s >= 1, "at least 1"),
        ("checkpoint.grace_s", config.checkpoint.grace_s >= 0, "0 or more"),
        ("fleet.max_streams", config.fleet.max_streams >= 0, "0 (by the children) or more"),
        ("fleet.max_fps", config.fleet.max_fps >= 0, "0 (no limit) or more"),
        ("fleet.job_slots", config.fleet.job_slots >= 0, "0 (by the children) or more"),
        ("fleet.session_timeout_s", config.fleet.session_timeout_s >= 6, "at least 6, the least that brokers take"),
        (
            "fleet.hand_over_s",
            0 < config.fleet.hand_over_s < config.fleet.session_timeout_s,
            "more than 0 and less than fleet.session_timeout_s",
        ),
        ("fleet.host_streams", config.fleet.host_streams >= 0, "0 (no bound) or more"),
        ("fleet.host_starts", config.fleet.host_starts >= 1, "at least 1"),
        ("fleet.starts_per_s", config.fleet.starts_per_s > 0, "more than 0"),
        ("fleet.job_attempts", config.fleet.job_attempts >= 1, "at least 1"),
        ("fleet.job_retry_s", config.fleet.job_retry_s >= 0, "0 or more"),
        ("control.address", re.fullmatch(f"({LISTEN})?", config.control.address) is not None, "PORT or HOST:PORT"),
        ("metrics.address", re.fullmatch(f"({LISTEN})?", config.metrics.address) is not None, "PORT or HOST:PORT"),
        (
            "tracing.endpoint",
            re.fullmatch(r"(https?://[^\s/]+(/\S*)?)?", config.tracing.endpoint) is not None,
            "an address such as http://127.0.0.1:4318/v1/traces, or empty",
        ),
        ("tracing.sample_ratio", 0 < config.tracing.sample_ratio <= 1, "more than 0, at most 1"),
        ("dashboard.address", re.fullmatch(LISTEN, config.dashboard.address) is not None, "PORT or HOST:PORT"),
        ("spool.max_bytes", config.spool.max_bytes >= 1, "at least 1"),
        ("spool.after_s", config.spool.after_s > 0, "more than 0"),
        ("track.lost_after_s", config.track.lost_after_s > 0, "more than 0"),
        ("track.confirm_after_s", config.track.confirm_after_s >= 0, "0 or more"),
        ("track.min_iou", 0 <= config.track.min_iou <= 1, "from 0 to 1"),
        ("track.new_track_score", 0 <= config.track.new_track_score <= 1, "from 0 to 1"),
        ("detect.score_threshold", 0 < config.detect.score_threshold < 1, "between 0 and 1"),
        ("detect.iou_threshold", 0 <= config.detect.iou_threshold <= 1, "from 0 to 1"),
        ("detect.max_faces", config.detect.max_faces >= 1, "at least 1"),
        ("detect.interval_s", 0 <= config.detect.interval_s < math.inf, "0 (every picture) or more seconds"),
    )


def _are_networks(texts: tuple[str, ...]) -> bool:
    try:
        return all(ipaddress.ip_network(text) is not None for text in texts)
    except ValueError:
        return False


def json_schema() -> dict[str, Any]:
    """The configuration's JSON Schema."""
    schema = msgspec.json.schema(Config)
    for section in ("ControlSettings", "MetricsSettings", "DashboardSettings"):
        schema["$defs"][section]["properties"]["address"]["type"] = ["string", "integer"]  # see `_port_alone`
    return schema
