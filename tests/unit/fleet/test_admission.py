from __future__ import annotations

from pathlib import Path

import pytest

from streamer.config import Config, FleetSettings
from streamer.errors import StreamerError, UsageError
from streamer.fleet.admission import Refused, admission_of, host_of, networks_allowed
from tests.unit.fleet.control import admission


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").touch()
    return folder


def test_a_file_under_a_root_is_taken_and_has_the_name_it_was_given(root: Path) -> None:
    source = admission(root).source("door", str(root / "a.mp4"), "live")
    assert (source.stream, source.url, source.kind, source.mode) == ("door", str(root / "a.mp4"), "file", "live")


@pytest.mark.parametrize("way", ["outside", "dots", "link", "folder_link", "missing"])
def test_no_way_leads_out_of_the_roots(root: Path, tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret.mp4"
    secret.touch()
    (root / "link.mp4").symlink_to(secret)
    (root / "out").symlink_to(tmp_path)
    ways = {
        "outside": secret,
        "dots": root / ".." / "secret.mp4",
        "link": root / "link.mp4",
        "folder_link": root / "out" / "secret.mp4",
        "missing": root / "out" / "never.mp4",
    }
    with pytest.raises(Refused, match=r"fleet\.roots"):
        admission(root).source("s", str(ways[way]), "live")


def test_without_roots_files_are_for_the_bus_of_this_machine_only(root: Path) -> None:
    with pytest.raises(Refused, match=r"fleet\.roots"):
        admission().source("s", str(root / "a.mp4"), "live")
    assert admission(bus="sqlite:///a.db").source("s", str(root / "a.mp4"), "archive").kind == "file"


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert admission(tmp_path / "alias").source("s", str(root / "a.mp4"), "live").kind == "file"


def test_a_missing_file_is_a_source_that_may_come(root: Path) -> None:
    assert admission(root).source("s", str(root / "later.mp4"), "live").kind == "file"
    assert admission(root).source("s", str(root / "later.png"), "archive").kind == "images"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("a.mp4", "relative"),
        ("x=/a.mp4", "relative"),
        ("*.mp4", "relative"),
        ("", "empty"),
        ("http://cam/a\nb", "cannot be printed"),
        ("0", "kind webcam"),
        ("webcam://0", "kind webcam"),
        ("/dev/video0", "kind webcam"),
        ("rtsp://user:geheim@cam/1?token=geheim", "internal network"),
        ("udp://user:geheim@cam/1?token=geheim", "udp"),
        ("http://user:geheim@/1", "no host"),
        ("testsrc://0x0", "test source"),
        ("file:///etc/passwd", "file://"),
    ],
)
def test_what_is_refused_says_why_and_tells_no_secret(address: str, told: str) -> None:
    with pytest.raises(StreamerError, match=told) as refusal:
        admission().source("s", address, "live")
    assert "geheim" not in str(refusal.value)


def test_a_pattern_is_a_name_here_and_reads_no_folder(root: Path) -> None:
    assert admission(root).source("s", str(root / "*.mp4"), "archive").url.endswith("*.mp4")


def test_a_folder_of_several_videos_is_no_stream(root: Path) -> None:
    assert admission(root).source("s", str(root), "archive").url.endswith("a.mp4")
    (root / "b.mp4").touch()
    with pytest.raises(Refused, match="2 sources"):
        admission(root).source("s", str(root), "archive")


def test_images_with_a_rate_are_looked_for_under_the_roots_too(root: Path, tmp_path: Path) -> None:
    (root / "1.png").touch()
    assert admission(root).source("s", f"{root}?fps=10", "archive").rate == 10
    with pytest.raises(Refused, match=r"fleet\.roots"):
        admission(root).source("s", f"{tmp_path}?fps=10", "archive")


@pytest.mark.parametrize("stream", ["", "..", "a/b", "a b", "x" * 101, "a\x1b[2J"])
def test_an_id_that_is_no_name_is_refused(stream: str) -> None:
    with pytest.raises(Refused, match="id"):
        admission().source(stream, "testsrc://64x64", "live")


def test_models_are_those_of_the_zoo_and_the_configured_one(tmp_path: Path) -> None:
    own = admission_of(Config(fleet=FleetSettings()))
    own.check_models(None)
    own.check_models("face-api", "centerface", "ema", "int8")
    for wrong in (("centerface",), (str(tmp_path),), ("no-such",), ("face-api", "face-api"), (None, None, "../h.json")):
        with pytest.raises(Refused):
            own.check_models(*wrong)
    with pytest.raises(Refused, match="precision"):
        own.check_models(None, precision="fp8")


INTERNAL = [
    "http://127.0.0.1/a.mp4",
    "rtsp://u:geheim@10.0.0.5:554/1",
    "rtspt://192.168.1.4/1",
    "hls+http://169.254.169.254/latest/meta-data",
    "http://2130706433/a.mp4",
    "http://0x7f.1/a.mp4",
    "http://0177.0.0.1/a.m3u8",
    "https://[::1]/a.mpd",
    "https://[::ffff:10.0.0.1]/a.mpd",
    "https://[fd00::1]/a.mpd",
    "page+http://localhost:8080/",
    "http://LOCALHOST./a.mp4",
    "rtmp://nas/live/1",
    "srt://cam.local:9000",
    "mjpeg+http://metadata.google.internal/",
    "http://127。0。0。1/a.mp4",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_on_kafka_no_address_of_an_internal_network_is_taken(address: str) -> None:
    with pytest.raises(Refused, match=r"fleet\.networks") as refusal:
        admission().source("s", address, "live")
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize("address", INTERNAL)
def test_on_the_bus_of_this_machine_every_address_is_taken(address: str) -> None:
    assert admission(bus="sqlite:///a.db").source("s", address, "live").stream == "s"


@pytest.mark.parametrize("bus", ["kafka://127.0.0.1:9092", "sqlite:///a.db"])
def test_networks_that_are_named_are_open_and_others_are_not(bus: str) -> None:
    named = admission_of(Config(bus=bus, fleet=FleetSettings(networks=("192.168.0.0/16", "127.0.0.0/8"))))
    for taken in (
        "rtsp://192.168.3.4/1",
        "http://localhost/a.mp4",
        "rtsp://[::ffff:192.168.3.4]/1",
        "rtsp://8.8.8.8/1",
    ):
        assert named.source("s", taken, "live").url == taken
    for other in ("rtsp://10.0.0.1/1", "http://[::1]/a.mp4", "http://169.254.169.254/a.mp4"):
        with pytest.raises(Refused, match=r"fleet\.networks"):
            named.source("s", other, "live")


def test_a_local_name_is_left_to_its_address_where_networks_are_named() -> None:
    named = admission_of(Config(bus="kafka://h:9092", fleet=FleetSettings(networks=("192.168.0.0/16",))))
    assert named.source("s", "rtsp://cam.local/1", "live").kind == "rtsp"
    assert named.networks == networks_allowed(
        Config(bus="kafka://h:9092", fleet=FleetSettings(networks=("192.168.0.0/16",)))
    )


def test_kinds_that_are_not_allowed_are_refused_by_their_kind() -> None:
    files = admission_of(Config(bus="kafka://h:9092", fleet=FleetSettings(allow=("file", "hls"))))
    assert files.source("s", "https://cdn.example/a.m3u8", "archive").kind == "hls"
    with pytest.raises(Refused, match="kind page"):
        files.source("s", "https://youtu.be/jNQXAC9IVRw", "archive")


@pytest.mark.parametrize("address", ["rtsp://cam.example/1", "rtmp://cam.example/1", "srt://cam.example:1", "0"])
def test_a_job_that_would_never_end_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="never ends"):
        admission().source("s", address, "archive")


@pytest.mark.parametrize(
    "address", ["http://u:p@Cam1.example:8080/a.mp4", "rtsp://cam1.EXAMPLE", "page+https://cam1.example/x"]
)
def test_the_host_is_that_of_the_connection(address: str) -> None:
    assert host_of(admission().source("s", address, "live")) == "cam1.example"
    assert host_of(admission().source("s", "testsrc://64x64", "live")) is None
