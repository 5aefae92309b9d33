"""`streamer bench live soak` in short: three minutes."""

from __future__ import annotations

import json

import pytest

from streamer.bench.cameras import rtsp
from streamer.bench.fleet.ground import Ground
from streamer.bench.live import soak
from tests.cameras.setup import require

pytestmark = [pytest.mark.models]


@pytest.mark.timeout(600)
def test_twelve_streams_some_of_which_flap_account_for_every_frame(live_ground: Ground) -> None:
    require(rtsp.missing)
    found = soak.run(live_ground, minutes=3.0, rss_allowed=0.25)
    assert found["good"], json.dumps(found, indent=1)
    assert min(found["faults_by_stream"].values()) > 0
    assert min(one["decoded"] for one in found["streams"].values()) > 0
