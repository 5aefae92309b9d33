"""A camera killed, frozen and restarted again and again, beside one that nobody touches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamer.bench.cameras.clips import camera_clip
from streamer.bench.cameras.rtsp import RtspCamera, RtspOptions
from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from streamer.bench.live.diary import Diary, Page, Seen, look_until
from streamer.bench.live.faults import Fault, plan
from streamer.bench.live.figures import spread
from streamer.bench.live.growth import Growth

NOTICED_ALLOWED_S = 5.0
BACK_ALLOWED_S = 10.0
CONTROL_GAP_ALLOWED_S = 2.0
GRACE_S = 30.0
RSS_ALLOWED = 0.10
GIVEN_UP_S = 90.0
_GONE = frozenset(("stalled", "backing_off", "connecting", "failed", "ended"))
_LIVE = frozenset(("live",))
_DOOR, _CONTROL = "door", "control"


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one fault. Seconds: until it was noticed, how long the camera was away, and from then to the first
    sign of the stream. `same_tracks` is None where no face was seen shortly before, or the grace time had passed."""

    kind: str
    down_s: float
    noticed_s: float | None
    back_s: float | None
    same_tracks: bool | None
    cause: str | None


def run(ground: Ground, *, times: int = 100, seed: int = 0, rss_allowed: float = RSS_ALLOWED) -> dict[str, Any]:
    """`times` faults after one at the start; `rss_allowed` is the share by which the child's memory may grow."""
    clip = camera_clip(ground.clip, ground.folder / "flaps-camera.mp4")
    with ExitStack() as stack:
        cameras = [_camera(ground.folder / name, clip) for name in (_DOOR, _CONTROL)]
        for camera in cameras:
            stack.callback(camera.close)
        site = stack.enter_context(ground.site("flaps", [clip]))
        diary, growth = Diary(), Growth()
        worker = site.start("one")
        view = site.view(heard=diary.hear)
        rounds = [_down_at_start(site, view, diary, cameras)]
        ground.tell(f"down at the start: {rounds[0]}")
        began_s = time.time()
        for number, fault in enumerate(plan(times, seed)):
            look_until(view, time.time() + fault.calm_s)
            growth.look(worker.children(), time.monotonic())
            rounds.append(_round(view, diary[_DOOR], cameras[0], fault))
            ground.tell(f"{number + 1} of {times}: {rounds[-1]}")
        look_until(view, time.time() + 2.0)
        ended_s = time.time()
        site.remove([_DOOR, _CONTROL])
        site.until(view, lambda: all(view.state(one) == "ended" for one in (_DOOR, _CONTROL)), "both streams ended")
        code = worker.stop()
    return _result(rounds, diary, growth, (began_s, ended_s), code, rss_allowed)


def _camera(folder: Path, clip: Path) -> RtspCamera:
    folder.mkdir(parents=True, exist_ok=True)
    return RtspCamera(folder, RtspOptions(clip=clip))


def _down_at_start(site: Site, view: View, diary: Diary, cameras: Sequence[RtspCamera]) -> Round:
    """The camera is down when the stream is wished for, and comes once that was seen."""
    door, control = cameras
    door.kill()
    asked_s = time.time()
    site.define({_DOOR: door.url, _CONTROL: control.url}, sample_fps=None, repeat=False)
    site.until(view, lambda: diary[_DOOR].changed(frozenset(("backing_off",)), asked_s) is not None, "a camera missed")
    site.until_live(view, [_CONTROL])
    look_until(view, time.time() + 5.0)
    down_s = time.time() - asked_s
    door.restart()
    back_s = _back_s(view, diary[_DOOR], time.time(), None)
    site.until(view, lambda: all(diary[one].seen for one in (_DOOR, _CONTROL)), "a face in both")
    cause = next(one.cause for one in diary[_DOOR].changes if one.state == "backing_off")
    return Round("at_start", round(down_s, 2), 0.0, back_s, None, cause)


def _round(view: View, page: Page, camera: RtspCamera, fault: Fault) -> Round:
    """One fault, from its begin to the stream's return."""
    before = page.seen[-1] if page.seen else None
    struck_s = time.time()
    fault.strike(camera)
    look_until(view, struck_s + fault.down_s)
    fault.mend(camera)
    mended_s = time.time()
    back_s = _back_s(view, page, mended_s, before)
    noticed = page.changed(_GONE, struck_s)
    return Round(
        fault.kind,
        round(mended_s - struck_s, 2),
        None if noticed is None else round(noticed.at_s - struck_s, 3),
        back_s,
        _same_tracks(page, before, struck_s),
        None if noticed is None else noticed.cause,
    )


def _back_s(view: View, page: Page, mended_s: float, before: Seen | None) -> float | None:
    """Seconds from the camera's return to the first live status or face of a new connection; None: it never came."""
    session = None if before is None else before.session
    deadline_s = mended_s + GIVEN_UP_S
    while time.time() < deadline_s:
        view.look(0.05)
        seen = page.first_seen(mended_s, session)
        if seen is not None:  # and so its faces are there, too, before the next fault
            live = page.changed(_LIVE, mended_s)
            return round(min(seen.at_s, seen.at_s if live is None else live.at_s) - mended_s, 3)
    return None


def _same_tracks(page: Page, before: Seen | None, struck_s: float) -> bool | None:
    """Whether the first face after the fault is one from just before it, its state older than it was then."""
    if before is None or not page.seen:
        return None
    after = next((one for one in page.seen if one.at_s >= struck_s and one.session != before.session), None)
    last = next((one for one in reversed(page.seen) if one.session == before.session), None)
    if after is None or last is None or struck_s - last.at_s > 1.0 or after.at_s - last.at_s >= GRACE_S:
        return None
    going_on = after.state_age_s >= last.state_age_s and (after.state != "cold" or last.state == "cold")
    return after.track == last.track and going_on


def _result(
    rounds: Sequence[Round],
    diary: Diary,
    growth: Growth,
    span_s: tuple[float, float],
    code: int,
    rss_allowed: float,
) -> dict[str, Any]:
    by_hand = sum(1 for one in rounds if one.back_s is None)
    unnoticed = sum(1 for one in rounds if one.noticed_s is None)
    noticed = sorted(one.noticed_s for one in rounds[1:] if one.noticed_s is not None)
    back = sorted(one.back_s for one in rounds if one.back_s is not None)
    lost = [one for one in rounds if one.same_tracks is False]
    control = _control(diary[_CONTROL], span_s)
    epochs = {one.track[0] for one in diary[_DOOR].seen}
    verdicts = {
        "noticed": unnoticed == 0 and max(noticed) <= NOTICED_ALLOWED_S,
        "back": by_hand == 0 and max(back) <= BACK_ALLOWED_S,
        "tracks": not lost and len(epochs) == 1,
        "flat": growth.flat(rss_allowed),
        "control": control["largest_gap_s"] <= CONTROL_GAP_ALLOWED_S and control["changes"] == 0,
        "worker": code == 0,
    }
    return {
        "good": all(verdicts.values()),
        "verdicts": verdicts,
        "faults": len(rounds),
        "by_kind": {kind: _kind([one for one in rounds if one.kind == kind]) for kind in _kinds(rounds)},
        "restarts_by_hand": by_hand,
        "noticed_s": spread(noticed),
        "back_s": spread(back),
        "tracks_kept": sum(1 for one in rounds if one.same_tracks),
        "tracks_lost": len(lost),
        "epochs": len(epochs),
        "control": control,
        "child": growth.figures(),
        "allowed": {"noticed_s": NOTICED_ALLOWED_S, "back_s": BACK_ALLOWED_S, "rss_share": rss_allowed},
        "rounds": [asdict(one) for one in rounds],
    }


def _control(page: Page, span_s: tuple[float, float]) -> dict[str, Any]:
    """How the stream fared that nobody touched."""
    times = [one.at_s for one in page.seen if span_s[0] <= one.at_s <= span_s[1]]
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times))
    changes = [one for one in page.changes if span_s[0] <= one.at_s <= span_s[1]]
    return {
        "observations": len(times),
        "changes": len(changes),
        "largest_gap_s": round(gaps[-1], 3) if gaps else GIVEN_UP_S,
        "p99_gap_s": round(gaps[int(0.99 * (len(gaps) - 1))], 3) if gaps else GIVEN_UP_S,
    }


def _kinds(rounds: Sequence[Round]) -> list[str]:
    return sorted({one.kind for one in rounds})


def _kind(rounds: Sequence[Round]) -> dict[str, Any]:
    noticed = sorted(one.noticed_s for one in rounds if one.noticed_s is not None)
    back = sorted(one.back_s for one in rounds if one.back_s is not None)
    return {"n": len(rounds), "noticed_s": spread(noticed), "back_s": spread(back)}
