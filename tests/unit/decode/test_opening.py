"""How each kind is opened: options, guards, and errors told apart."""

from __future__ import annotations

import socket
from pathlib import Path

import av
import pytest

from streamer import errors
from streamer.clock import FakeClock, SystemClock
from streamer.config import ConnectSettings, DecodeSettings
from streamer.decode import open_source
from streamer.decode.explaining import explanation
from streamer.decode.opening import network_options
from streamer.messages import Mode
from streamer.source import Address, Kind, Source
from tests.unit.decode.test_decoder import kept
from tests.unit.decode.videos import pictures, write_video
from tests.web import fixed, site


def opened(
    url: str, kind: Kind, connect: ConnectSettings | None = None, mode: Mode = "live", *, guarded: bool = False
) -> None:
    source = Source("s", url, kind, mode)
    address = Address(url, kind, guarded=guarded)
    open_source(source, DecodeSettings(), SystemClock(), connect or ConnectSettings(), address).close()


@pytest.mark.parametrize(
    ("url", "setting", "transport"),
    [
        ("rtsp://cam/1", "tcp", "tcp"),
        ("rtsp://cam/1", "udp", "udp"),
        ("rtspt://cam/1", "udp", "tcp"),
        ("rtspu://cam/1", "tcp", "udp"),
        ("RTSPT://cam/1", "udp", "tcp"),
        ("rtsps://cam/1", "udp", "tcp"),
        ("rtsp://cam/1", "auto", None),
    ],
)
def test_the_transport_of_rtsp(url: str, setting: str, transport: str | None) -> None:
    where, options = network_options(Address(url, "rtsp"), ConnectSettings(rtsp_transport=setting))  # type: ignore[arg-type]
    assert where == ("rtsps://cam/1" if url.startswith("rtsps") else "rtsp://cam/1")
    assert options.get("rtsp_transport") == transport
    assert "file" not in options["protocol_whitelist"].split(",")
    assert "http" not in options["protocol_whitelist"].split(",")


def test_srt_where_ffmpeg_has_none() -> None:
    try:
        av.open("srt://127.0.0.1:9")
    except av.ProtocolNotFoundError:
        with pytest.raises(errors.SourceUnsupported, match="cannot read srt"):
            opened("srt://127.0.0.1:9?passphrase=hunter2", "srt")
    except av.FFmpegError:
        pytest.skip("this build of FFmpeg has srt")


@pytest.mark.parametrize("kind", ["rtsp", "rtmp", "hls", "dash", "mjpeg", "http"])
def test_nobody_listens(kind: Kind) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        scheme = kind if kind in ("rtsp", "rtmp") else "http"
        with pytest.raises(errors.SourceUnreachable) as caught:
            opened(f"{scheme}://me:hunter2@127.0.0.1:{port}/a", kind)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", ["rtsp", "rtmp", "hls", "dash", "mjpeg", "http"])
def test_what_somebody_else_asks_for_must_lie_outside(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        scheme = kind if kind in ("rtsp", "rtmp") else "http"
        with pytest.raises(errors.AddressRefused):
            opened(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/a", kind, guarded=True)
        with pytest.raises(BlockingIOError):  # nobody has come
            server.accept()


def test_or_in_a_network_that_is_allowed(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", pictures(5), "libx264", container_options={"movflags": "faststart"})
    with site() as web:
        web.pages["/a.mp4"] = fixed(clip.read_bytes())
        connect = ConnectSettings(networks=("127.0.0.0/8",))
        opened(f"{web.url}/a.mp4", "http", connect, "archive", guarded=True)
        with pytest.raises(errors.AddressRefused):
            opened(f"{web.url}/a.mp4", "http", None, "archive", guarded=True)


@pytest.mark.parametrize(
    ("error", "expires", "wanted"),
    [
        (av.HTTPUnauthorizedError(1, ""), False, errors.SourceUnauthorized),
        (av.HTTPForbiddenError(1, ""), False, errors.SourceUnauthorized),
        (av.HTTPForbiddenError(1, ""), True, errors.SourceExpired),
        (av.HTTPNotFoundError(1, ""), False, errors.SourceMissing),
        (av.HTTPServerError(1, ""), False, errors.SourceUnreachable),
        (av.InvalidDataError(1, ""), False, errors.SourceUnreachable),
        (av.ExitError(1, ""), False, errors.SourceUnreachable),
        (av.ConnectionRefusedError(1, ""), False, errors.SourceUnreachable),
        (av.ProtocolNotFoundError(1, ""), False, errors.SourceUnsupported),
    ],
)
def test_what_ffmpeg_says_of_a_camera(error: Exception, expires: bool, wanted: type[errors.SourceError]) -> None:
    source = Source("s", "rtsp://me:hunter2@cam/1", "rtsp", "live")
    found = explanation(source, error, Address(source.url, "rtsp", (), 1e9 if expires else None))
    assert type(found) is wanted
    assert "hunter2" not in str(found)


def test_a_live_picture_that_changes_its_size_ends_the_connection(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.ts", pictures(12), "libx264").read_bytes()
    large = write_video(tmp_path / "b.ts", pictures(12, 96, 64), "libx264").read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    source = Source("s", str(tmp_path / "both.ts"), "file", "live")
    frames, error = kept(open_source(source, DecodeSettings(), FakeClock()))
    assert len(frames) == 12
    assert isinstance(error, errors.ResolutionChanged)
