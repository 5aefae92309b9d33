"""`streamer bench live flaps` in short: the same program with ten faults."""

from __future__ import annotations

import json

import pytest

from streamer.bench.cameras import rtsp
from streamer.bench.fleet.ground import Ground
from streamer.bench.live import flaps
from tests.cameras.setup import require

pytestmark = [pytest.mark.models]


@pytest.mark.timeout(600)
def test_a_camera_that_fails_ten_times_never_needs_a_hand(live_ground: Ground) -> None:
    require(rtsp.missing)
    # So young a process still grows; the hundred faults of the program judge memory more strictly.
    found = flaps.run(live_ground, times=10, rss_allowed=0.25)
    assert found["good"], json.dumps(found, indent=1)
    assert set(found["by_kind"]) == {"at_start", "killed", "quick", "frozen", "frozen_killed", "long"}
    assert found["tracks_kept"] > 0
