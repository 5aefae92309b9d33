"""`streamer bench live page` in short: a minute of addresses that are good for ten seconds."""

from __future__ import annotations

import json

import pytest

from streamer.bench.fleet.ground import Ground
from streamer.bench.live import page

pytestmark = [pytest.mark.models]


@pytest.mark.timeout(400)
def test_a_page_whose_video_expires_every_ten_seconds_plays_on(live_ground: Ground) -> None:
    # The program itself allows no hiccup; a machine that runs tests may have other things to do.
    found = page.run(live_ground, minutes=1.0, expires_s=10.0, hiccup_s=4.0)
    assert found["good"], json.dumps(found, indent=1)
    assert all(one["connections"] > 4 for one in found["streams"].values())
