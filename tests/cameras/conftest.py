"""Cameras on loopback: made by the test, ended behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engines.zoo.sample import fetch_sample
from streamer.bench.cameras import rtmp, rtsp
from streamer.bench.cameras.camera import Camera
from streamer.bench.cameras.clips import camera_clip
from streamer.bench.cameras.http_camera import MjpegCamera, SegmentCamera
from streamer.bench.cameras.rtmp import RtmpCamera
from streamer.bench.cameras.rtsp import RtspCamera, RtspOptions
from streamer.bench.fleet.ground import Ground
from tests.cameras.setup import require
from tests.videos import pattern

MakeCamera = Callable[[str], Camera]


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that cameras can show: 10 frames a second, a key frame each second, 4 seconds; no face in it."""
    folder = tmp_path_factory.mktemp("shown")
    return camera_clip(pattern(folder / "any.mp4"), folder / "camera.mp4", n_frames=40, every=1)


@pytest.fixture
def make_camera(shown: Path, tmp_path: Path) -> Iterator[MakeCamera]:
    """Make a camera of a kind: rtsp, rtmp, hls, hls_fmp4, dash, mjpeg. Skips where its server is missing."""
    with ExitStack() as stack:

        def make(kind: str) -> Camera:
            folder = tmp_path / kind
            folder.mkdir(exist_ok=True)
            camera: Camera
            match kind:
                case "rtsp":
                    require(rtsp.missing)
                    camera = RtspCamera(folder, RtspOptions(clip=shown))
                case "rtmp":
                    require(rtmp.missing)
                    camera = RtmpCamera(folder, shown)
                case "mjpeg":
                    camera = MjpegCamera(shown)
                case "hls" | "hls_fmp4":
                    camera = SegmentCamera(shown, folder / "segments", "ts" if kind == "hls" else "fmp4")
                case _:
                    camera = SegmentCamera(shown, folder / "segments", "dash")
            stack.callback(camera.close)
            return camera

        yield make


@pytest.fixture
def live_ground(models: None, tmp_path: Path) -> Ground:
    """Ground for a scenario on an embedded bus of its own."""
    return Ground(f"sqlite:///{tmp_path}/bus.db", tmp_path, fetch_sample())
