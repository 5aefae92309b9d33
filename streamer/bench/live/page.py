"""Pages whose video's address expires again and again: does the stream play on?

Two pages at once: the address of one says when it expires, the other's simply stops working.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from streamer.bench.cameras.clips import camera_clip
from streamer.bench.cameras.http_camera import SegmentCamera
from streamer.bench.cameras.page import PageCamera
from streamer.bench.fleet.ground import Ground
from streamer.bench.live.diary import Diary, Page, Seen, look_until
from streamer.bench.live.figures import spread

SEGMENT_S = 1.0
"""A live playlist grows by one segment at a time: so long may pass between two frames without any reconnect."""
_HELD_S = 5.0
"""What was fetched before an address expired is shown for at most so long afterwards."""
FIRST_S = 120.0
RECONNECT_ALLOWED_S = 10.0
_NAMES = ("says-when", "says-nothing")


def run(ground: Ground, *, minutes: float = 5.0, expires_s: float = 30.0, hiccup_s: float = 0.0) -> dict[str, Any]:
    """`minutes` from the first face in both on; an address is good for `expires_s`. A machine that has other things to
    do may be late by `hiccup_s` anywhere."""
    clip = camera_clip(ground.clip, ground.folder / "page-camera.mp4")
    with ExitStack() as stack:
        pages = dict[str, PageCamera]()
        for name in _NAMES:
            video = SegmentCamera(clip, ground.folder / f"page-{name}", target_s=SEGMENT_S, expires_s=expires_s)
            pages[name] = PageCamera(video, says_when=name == "says-when")
            stack.callback(pages[name].close)
        site = stack.enter_context(ground.site("page", [clip]))
        diary = Diary()
        worker = site.start("one")
        view = site.view(heard=diary.hear)
        streams = {name: f"page+{page.url}" for name, page in pages.items()}
        site.define(streams, sample_fps=None, repeat=False)
        site.until(view, lambda: all(diary[name].seen for name in _NAMES), "a face in both", FIRST_S)
        began_s = time.time()
        for minute in itertools.count(1):
            look_until(view, min(began_s + 60 * minute, began_s + 60 * minutes))
            ground.tell(
                f"minute {min(minute, minutes):g}: { ({name: len(diary[name].seen) for name in _NAMES}) } faces"
            )
            if minute >= minutes:
                break
        ended_s = time.time()
        site.remove(_NAMES)
        site.until(view, lambda: all(view.state(name) == "ended" for name in _NAMES), "both streams ended")
        code = worker.stop()
    found = {name: _of_one(diary[name], pages[name], (began_s, ended_s), expires_s, hiccup_s) for name in _NAMES}
    return {
        "good": code == 0 and all(one["good"] for one in found.values()),
        "minutes": minutes,
        "expires_s": expires_s,
        "segment_s": SEGMENT_S,
        "streams": found,
    }


def _of_one(
    page: Page, camera: PageCamera, span_s: tuple[float, float], expires_s: float, hiccup_s: float
) -> dict[str, Any]:
    seen = [one for one in page.seen if span_s[0] <= one.at_s <= span_s[1]]
    loads = [at_s for at_s in camera.loaded_s if span_s[0] <= at_s <= span_s[1]]
    costs = sorted(_costs(seen, loads))
    within = [later.at_s - earlier.at_s for earlier, later in _pairs(seen) if later.session == earlier.session]
    across = [later.at_s - earlier.at_s for earlier, later in _pairs(seen) if later.session != earlier.session]
    captured = [(earlier.capture_s, later.capture_s) for earlier, later in _pairs(seen)]
    jumps = [later - earlier for earlier, later in captured if earlier is not None and later is not None]
    media = [later.media_s - earlier.media_s for earlier, later in _pairs(seen)]
    largest_s = max([*within, *across], default=FIRST_S)
    reconnect_s = costs[-1] if costs else 0.0
    wanted_loads = int((span_s[1] - span_s[0]) / (expires_s + _HELD_S))
    return {
        "good": largest_s <= reconnect_s + SEGMENT_S + hiccup_s
        and reconnect_s <= RECONNECT_ALLOWED_S
        and len(loads) >= wanted_loads
        and min(media, default=0.0) >= 0.0
        and all(change.state not in ("failed", "ended") for change in page.changes if change.at_s <= span_s[1]),
        "observations": len(seen),
        "page_loads": len(loads),
        "requests_refused": camera.camera.n_refused,
        "connections": len({one.session for one in seen}),
        "largest_gap_s": round(largest_s, 3),
        "largest_gap_within_a_connection_s": round(max(within, default=0.0), 3),
        "reconnect_s": spread(costs),
        "largest_media_step_s": round(max(media, default=0.0), 3),
        "largest_capture_step_s": round(max(jumps, default=0.0), 3),
        "largest_capture_step_back_s": round(-min(jumps, default=0.0), 3),
        "tracks": len({one.track for one in seen}),
        "causes": sorted({change.cause for change in page.changes if change.cause is not None}),
    }


def _pairs(seen: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    return list(itertools.pairwise(seen))


def _costs(seen: Sequence[Seen], loads: Sequence[float]) -> list[float]:
    """What each reconnect took: from the load of the page to the first face of the next connection."""
    first_of = dict[str, float]()
    for one in seen:
        first_of.setdefault(one.session, one.at_s)
    firsts = sorted(first_of.values())
    return [next((at_s - load_s for at_s in firsts if at_s >= load_s), 0.0) for load_s in loads]
