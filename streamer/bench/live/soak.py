"""Twelve streams of all kinds, some of which flap: every frame accounted for, and nothing that grows."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from streamer.bench.cameras.camera import Camera
from streamer.bench.cameras.clips import camera_clip
from streamer.bench.cameras.http_camera import MjpegCamera, SegmentCamera
from streamer.bench.cameras.rtsp import RtspCamera, RtspOptions
from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from streamer.bench.live.diary import Diary, Page
from streamer.bench.live.faults import Fault, plan
from streamer.bench.live.growth import Growth
from streamer.messages import Status

RATE_FPS = 5
FRAME_CAUSES = frozenset(("queue_full", "sample_rate", "late", "closed"))
"""Why a decoded frame was not analysed. The other causes are of faces, or of what could not be decoded."""
RSS_ALLOWED = 0.10
BACK_ALLOWED_S = 30.0
_LOOK_EVERY_S = 2.0
_CALM_S = (4.0, 12.0)
_KINDS = ("rtsp", "hls", "mjpeg", "file")


def run(ground: Ground, *, minutes: float = 30.0, seed: int = 0, rss_allowed: float = RSS_ALLOWED) -> dict[str, Any]:
    """Three of each kind; one camera of each kind flaps all the time but in the last half minute."""
    clip = camera_clip(ground.clip, ground.folder / "soak-camera.mp4", rate=RATE_FPS, n_frames=60)
    with ExitStack() as stack:
        cameras = {
            f"{kind}-{number}": _camera(kind, ground.folder / f"{kind}-{number}", clip, stack)
            for kind in _KINDS
            for number in range(3)
        }
        site = stack.enter_context(ground.site("soak", [clip]))
        diary, growth = Diary(keep_seen=False), Growth()
        worker = site.start("one")
        view = site.view(heard=diary.hear)
        _define(site, cameras, clip)
        site.until(view, lambda: all(view.n_observations[name] for name in cameras), "a face in every stream")
        flapping = {name: camera for name, camera in cameras.items() if camera is not None and name.endswith("-0")}
        flapper = _Flapper(flapping, seed)
        began_s = time.monotonic()
        next_s, told_s = began_s, began_s
        while (now_s := time.monotonic()) < began_s + 60 * minutes:
            view.look(0.1)
            flapper.on_time(now_s, last=now_s > began_s + 60 * minutes - BACK_ALLOWED_S)
            if now_s >= next_s:
                next_s += _LOOK_EVERY_S
                growth.look(worker.children(), now_s)
            if now_s >= told_s + 60.0:
                told_s = now_s
                ground.tell(f"{(now_s - began_s) / 60:.0f} min: {flapper.n_faults} faults, {growth.looks[-1:]}")
        flapper.mend_all()
        left = _not_live(site, view, list(cameras))
        site.remove(cameras)
        site.until(view, lambda: all(view.state(name) == "ended" for name in cameras), "all streams ended")
        code = worker.stop()
        found = {name: _account(diary[name], view.n_observations[name]) for name in cameras}
    lost = {name: one for name, one in found.items() if one["unaccounted"] != 0}
    verdicts = {
        "accounted": not lost,
        "flat": growth.flat(rss_allowed),
        "no_hand": not left and all(one["epochs"] == 1 for one in found.values()),
        "worker": code == 0,
    }
    return {
        "good": all(verdicts.values()),
        "verdicts": verdicts,
        "minutes": minutes,
        "faults": flapper.n_faults,
        "faults_by_stream": flapper.counts,
        "needed_a_hand": left,
        "frames": {key: sum(one[key] for one in found.values()) for key in ("decoded", "analysed", "dropped")},
        "child": growth.figures(),
        "rss_share_allowed": rss_allowed,
        "streams": found,
    }


def _camera(kind: str, folder: Path, clip: Path, stack: ExitStack) -> Camera | None:
    """A camera of a kind; None for a file, which is shown live."""
    folder.mkdir(parents=True, exist_ok=True)
    camera: Camera
    match kind:
        case "rtsp":
            camera = RtspCamera(folder, RtspOptions(clip=clip))
        case "hls":
            camera = SegmentCamera(clip, folder / "segments", target_s=1.0)
        case "mjpeg":
            camera = MjpegCamera(clip)
        case _:
            return None
    stack.callback(camera.close)
    return camera


def _define(site: Site, cameras: Mapping[str, Camera | None], clip: Path) -> None:
    """Files are sampled, so that frames dropped for that are among what is accounted for."""
    for name, camera in cameras.items():
        if camera is None:
            site.define({name: clip}, sample_fps=2.0, repeat=True)
        else:
            site.define({name: camera.url}, sample_fps=None, repeat=False)


class _Flapper:
    """Has some cameras fail and come back, each by a plan of its own."""

    def __init__(self, cameras: Mapping[str, Camera], seed: int) -> None:
        self._cameras = cameras
        self._rng = random.Random(seed)  # noqa: S311  # for a run that can be repeated
        self._down: dict[str, Fault] = {}
        self._due_s = dict.fromkeys(cameras, 0.0)
        self._plans = {name: _forever(seed + number) for number, name in enumerate(cameras)}
        self.counts = dict.fromkeys(cameras, 0)

    @property
    def n_faults(self) -> int:
        """How many faults there were."""
        return sum(self.counts.values())

    def on_time(self, now_s: float, *, last: bool) -> None:
        """Do what is due; no more faults in the `last` part."""
        for name, camera in self._cameras.items():
            if now_s < self._due_s[name]:
                continue
            if (fault := self._down.pop(name, None)) is not None:
                fault.mend(camera)
                self._due_s[name] = now_s + self._rng.uniform(*_CALM_S) + 10.0
            elif self._due_s[name] == 0.0:
                self._due_s[name] = now_s + self._rng.uniform(*_CALM_S)
            elif not last:
                self._down[name] = fault = next(self._plans[name])
                fault.strike(camera)
                self.counts[name] += 1
                self._due_s[name] = now_s + fault.down_s

    def mend_all(self) -> None:
        """Have every camera back."""
        for name, fault in list(self._down.items()):
            fault.mend(self._cameras[name])
        self._down.clear()


def _forever(seed: int) -> Any:
    while True:
        yield from plan(1000, seed)
        seed += 1000


def _not_live(site: Site, view: View, names: Sequence[str]) -> list[str]:
    """The streams that are not live again by themselves in time."""
    deadline_s = time.monotonic() + BACK_ALLOWED_S
    while (left := [one for one in names if view.state(one) != "live"]) and time.monotonic() < deadline_s:
        view.look(0.1)
    return left


def _account(page: Page, n_observations: int) -> dict[str, Any]:
    """What became of a stream's frames, by its last status."""
    status = page.status
    assert isinstance(status, Status), "every stream has said something"
    dropped = {cause: n for cause, n in status.dropped.items() if cause in FRAME_CAUSES}
    states = [change.state for change in page.changes]
    return {
        "decoded": status.decoded,
        "analysed": status.analysed,
        "dropped": sum(dropped.values()),
        "dropped_by_cause": dict(status.dropped),
        "unaccounted": status.decoded - status.analysed - sum(dropped.values()),
        "faces": status.faces,
        "observations": n_observations,
        "corrupt_packets": status.corrupt_packets,
        "times_live": states.count("live"),
        "epochs": len(page.epochs),
    }
