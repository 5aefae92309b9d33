"""Every kind of source that a user can name, through the whole, by the command."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from engines.zoo.sample import fetch_sample
from streamer.messages import Observation
from tests.product import observations, streamer
from tests.videos import pattern

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
N_FRAMES = 120
N_IMAGES = 12


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests' output is read by people."""


def index_first(source: Path, target: Path) -> None:
    """The same packets with the index before them: the plain server of the tests cannot be asked for a file's end."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "+faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models: None) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(fetch_sample(), folder / "phone.mp4")
    index_first(folder / "phone.mp4", folder / "web.mp4")
    (folder / "images").mkdir()
    with av.open(str(folder / "phone.mp4")) as container:
        for number, frame in zip(range(N_IMAGES), container.decode(video=0), strict=False):
            assert cv2.imwrite(str(folder / "images" / f"{number}.jpg"), frame.to_ndarray(format="bgr24"))
    (folder / "videos" / "inner").mkdir(parents=True)
    pattern(folder / "videos" / "one.mp4", n_frames=11)
    pattern(folder / "videos" / "inner" / "two.avi", n_frames=12)
    (folder / "videos" / "notes.txt").write_text("no video, and not taken for one")
    pattern(folder / "part-1.mp4", n_frames=13)
    pattern(folder / "part-2.mp4", n_frames=14)
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(place))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def told(place: Path, server: str) -> dict[str, dict[str, Any]]:
    """One run over all kinds of archive: what its JSON says, by stream."""
    done = streamer(
        "run", "phone.mp4", f"{server}/web.mp4", f"{server}/gone.mp4", "images", "videos", "part-*.mp4",
        "--run", "all", "--json", "--precision", "fp32",  # what is compared below should not hang on the kind of CPU
        cwd=place,
    )  # fmt: skip
    assert done.returncode == 1, "one of the sources is not there"
    assert done.stderr == ""
    return {one["stream"]: one for one in json.loads(done.stdout)["sources"]}


@pytest.fixture(scope="module")
def seen(place: Path, told: dict[str, dict[str, Any]]) -> dict[str, list[Observation]]:
    """The observations of that run, by stream."""
    found: dict[str, list[Observation]] = {}
    for one in observations(place / "affect.db"):
        found.setdefault(one.stream, []).append(one)
    return found


def test_each_kind_is_read_to_its_end_under_its_own_name(told: dict[str, dict[str, Any]]) -> None:
    analysed = {name: one["analysed"] for name, one in told.items() if one["state"] == "done"}
    assert analysed == {
        "phone": N_FRAMES, "web": N_FRAMES, "images": N_IMAGES, "one": 11, "two": 12, "part-1": 13, "part-2": 14,
    }  # fmt: skip
    assert {one["mode"] for one in told.values()} == {"archive"}


def test_a_file_over_http_says_what_the_file_says(
    told: dict[str, dict[str, Any]], seen: dict[str, list[Observation]]
) -> None:
    assert told["web"]["source"].startswith("http://127.0.0.1:")
    assert told["web"]["session"] != told["phone"]["session"]
    assert [(one.pts, one.bare, one.box_xywh) for one in seen["web"]] == [
        (one.pts, one.bare, one.box_xywh) for one in seen["phone"]
    ]
    assert len(seen["phone"]) >= N_FRAMES - 2


def test_an_address_with_nothing_there_fails_alone(told: dict[str, dict[str, Any]]) -> None:
    [failed] = [one for one in told.values() if one["state"] == "failed"]
    assert (failed["stream"], failed["cause"]) == ("gone", "missing")
    assert "404" in failed["message"]
    assert "\n" not in failed["message"]


def test_a_folder_of_images_is_one_stream_in_natural_order(seen: dict[str, list[Observation]]) -> None:
    images = seen["images"]
    assert len(images) == N_IMAGES
    assert [round(one.media_time_s * 25) for one in images] == list(range(N_IMAGES))
    # 10.jpg comes after 9.jpg: the face moves as in the video that the images are of.
    for image, frame in zip(images, seen["phone"], strict=False):
        assert image.box_xywh == pytest.approx(frame.box_xywh, abs=0.03)
    label = Counter(one.bare.label for one in images).most_common(1)[0][0]
    assert label == Counter(one.bare.label for one in seen["phone"][:N_IMAGES]).most_common(1)[0][0]


def test_a_name_for_many_is_wrong_use(place: Path, tmp_path: Path) -> None:
    done = streamer("run", f"both={place}/videos", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "both=" in done.stderr


def test_a_folder_without_anything_to_read_fails_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = streamer("run", "empty", "*.mp4", "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split()[:3] for line in done.stderr.splitlines()] == [
        ["streamer:", "failed:", "empty"],
        ["streamer:", "failed:", "*.mp4"],
    ]


@pytest.mark.skipif(Path("/dev/video0").exists(), reason="this machine has a camera")
def test_a_camera_that_is_not_there_fails_and_a_test_source_beside_it_does_not(tmp_path: Path) -> None:
    done = streamer("run", "0", "bars=testsrc://160x120@25?duration=1", cwd=tmp_path)
    assert done.returncode == 1
    at_once, at_last = done.stderr.splitlines()
    assert at_once == "streamer: webcam0: /dev/video0 does not exist: check the path. It is tried again."
    assert at_last == "streamer: failed: webcam0: /dev/video0 does not exist: check the path."
    assert done.stdout.startswith("2 sources, ")
    states = [one["state"] for one in tail(tmp_path, "status") if one["stream"] == "bars"]
    # A heartbeat repeats a state that lasts; on a busy machine that may be any of them.
    assert [state for state, _ in groupby(states)] == ["connecting", "live", "ended"]


def tail(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of `streamer tail NAME`."""
    done = streamer("tail", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
