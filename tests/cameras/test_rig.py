"""The rig itself: every server can be watched with plain PyAV, and does what a camera that fails does."""

from __future__ import annotations

import io
import itertools
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import av
import pytest

from streamer.bench.cameras import rtsp
from streamer.bench.cameras.http_camera import SegmentCamera
from streamer.bench.cameras.page import PageCamera
from streamer.bench.cameras.rtsp import RtspCamera, RtspOptions
from streamer.errors import UsageError
from tests.cameras.conftest import MakeCamera
from tests.cameras.setup import require

WATCHED = ("rtsp", "rtmp", "hls", "hls_fmp4", "mjpeg")
TIMEOUT_S = 20.0


def watch(url: str, n_frames: int = 12, **options: str) -> list[float]:
    """Media times of the first frames."""
    with av.open(url, options=options, timeout=TIMEOUT_S) as container:
        return [float(frame.time or 0.0) for frame in itertools.islice(container.decode(video=0), n_frames)]


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        content: bytes = answer.read()
    return content


@pytest.mark.parametrize("kind", WATCHED)
def test_a_camera_is_watched_killed_and_watched_again_at_its_address(make_camera: MakeCamera, kind: str) -> None:
    camera = make_camera(kind)
    url = camera.url
    times = watch(url)
    assert len(times) == 12
    assert times == sorted(times)
    camera.kill()
    with pytest.raises(OSError, match="refused"):
        watch(url)
    camera.restart()
    assert camera.url == url
    assert len(watch(url)) == 12


@pytest.mark.parametrize("kind", WATCHED)
def test_a_frozen_camera_takes_connections_and_says_nothing(make_camera: MakeCamera, kind: str) -> None:
    camera = make_camera(kind)
    assert watch(camera.url, 2)
    camera.freeze()
    with pytest.raises(av.error.FFmpegError) as silence, av.open(camera.url, timeout=0.5):
        pass
    assert not isinstance(silence.value, ConnectionRefusedError)
    camera.thaw()
    assert len(watch(camera.url)) == 12


def test_a_clip_is_shown_past_its_end_with_times_that_go_on(make_camera: MakeCamera) -> None:
    times = watch(make_camera("rtsp").url, 50, rtsp_transport="tcp")  # the clip has 40 frames
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[-1] == pytest.approx(4.8, abs=0.4)
    assert max(steps) < 0.5


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_an_rtsp_camera_asks_who_watches_and_knows_one_path(shown: Path, tmp_path: Path, auth: str) -> None:
    require(rtsp.missing)
    options = RtspOptions(clip=shown, user="door", password="sesame", auth="basic" if auth == "basic" else "digest")
    camera = RtspCamera(tmp_path, options)
    try:
        assert watch(camera.url, 2, rtsp_transport="tcp")
        with pytest.raises(av.error.HTTPUnauthorizedError):
            watch(camera.url.replace("sesame", "mellon"))
        with pytest.raises(av.error.HTTPNotFoundError):
            watch(camera.url.replace("/camera", "/nothing"))
    finally:
        camera.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_an_rtsp_camera_may_offer_one_transport_only(tmp_path: Path, transport: str) -> None:
    require(rtsp.missing)
    camera = RtspCamera(tmp_path, RtspOptions(pattern="160x90@10", transport="tcp" if transport == "tcp" else "udp"))
    try:
        assert len(watch(camera.url, rtsp_transport=transport)) == 12
        with pytest.raises(av.error.FFmpegError):
            watch(camera.url, rtsp_transport="udp" if transport == "tcp" else "tcp")
    finally:
        camera.close()


def test_a_muted_rtsp_camera_sends_no_picture_but_stays(shown: Path, tmp_path: Path) -> None:
    require(rtsp.missing)
    camera = RtspCamera(tmp_path, RtspOptions(clip=shown, transport="tcp"))
    try:
        options = {"rtsp_transport": "tcp", "timeout": "1500000"}
        with av.open(camera.url, options=options, timeout=TIMEOUT_S) as container:
            frames = container.decode(video=0)
            next(frames)
            camera.mute()
            with pytest.raises(av.error.FFmpegError):
                list(itertools.islice(frames, 100))  # more than the clip has: a silence ends it
        assert camera.running
        camera.unmute()
        assert len(watch(camera.url, rtsp_transport="tcp")) == 12
    finally:
        camera.close()


def test_live_hls_slides_tells_the_time_and_can_be_discontinued(shown: Path, tmp_path: Path) -> None:
    camera = SegmentCamera(shown, tmp_path / "segments")
    try:
        camera.segments.discontinue()
        watched = watch(camera.url, 60)  # six seconds at least, some of them from before
        playlist = fetch(camera.url).decode()
    finally:
        camera.close()
    assert len(watched) == 60
    assert "#EXT-X-DISCONTINUITY\n" in playlist
    assert playlist.count("#EXT-X-PROGRAM-DATE-TIME:") == playlist.count("#EXTINF:")
    assert "#EXT-X-ENDLIST" not in playlist
    sequence = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", playlist)
    assert sequence is not None
    assert int(sequence[1]) > 0


def test_only_segments_that_can_be_are_discontinued(shown: Path, tmp_path: Path) -> None:
    camera = SegmentCamera(shown, tmp_path / "segments", "fmp4")
    try:
        with pytest.raises(UsageError, match="form ts"):
            camera.segments.discontinue()
    finally:
        camera.close()


def test_live_dash_names_segments_that_are_a_video(make_camera: MakeCamera) -> None:
    """PyAV's own FFmpeg reads no DASH, so the header and a segment are put together as a player does."""
    camera = make_camera("dash")
    place = camera.url.rpartition("/")[0]
    description = fetch(camera.url).decode()
    assert 'type="dynamic"' in description
    video = fetch(f"{place}/init-stream0.m4s") + fetch(f"{place}/chunk-stream0-00001.m4s")
    with av.open(io.BytesIO(video), "r") as container:
        assert len(list(container.decode(video=0))) == 10


def test_an_address_that_expired_is_forbidden_and_a_page_has_a_fresh_one_each_time(shown: Path, tmp_path: Path) -> None:
    page = PageCamera(SegmentCamera(shown, tmp_path / "segments", expires_s=3.0), says_when=True)
    try:
        first, second = (_media(page) for _ in range(2))
        assert first != second
        assert re.search(r"\?expire=\d{10}$", first)
        with pytest.raises(av.error.HTTPForbiddenError):
            _watch_until_refused(first)
        assert page.camera.n_refused > 0
        assert watch(_media(page), 2)
        assert len(page.loaded_s) == 3
    finally:
        page.close()


def test_a_page_can_be_killed_with_its_video(shown: Path, tmp_path: Path) -> None:
    page = PageCamera(SegmentCamera(shown, tmp_path / "segments"))
    try:
        page.kill()
        with pytest.raises(urllib.error.URLError, match="refused"):
            fetch(page.url)
        page.restart()
        assert watch(_media(page), 2)
    finally:
        page.close()


def _watch_until_refused(url: str) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        watch(url, 2)


def _media(page: PageCamera) -> str:
    found = re.search(r'source src="([^"]+)"', fetch(page.url).decode())
    assert found is not None
    return found[1]
