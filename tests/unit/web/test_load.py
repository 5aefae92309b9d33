"""Fifty streams with two faces each at 10 Hz: memory and what pages are sent stay bounded."""

from __future__ import annotations

import pickle

import msgspec

from streamer.web import overview
from streamer.web.deltas import Deltas
from streamer.web.depth import StreamPage
from streamer.web.tracks import COLUMNS, MAX_WINDOWS, SPAN_S, STEP_S
from tests.unit.web.feed import Feed

N_STREAMS = 50
RATE = 10
OVERVIEW_BYTES = 24_000
DEPTH_BYTES = 6_000


def test_memory_and_messages_are_bounded() -> None:
    feed = Feed()
    feed.clock.advance(1000.0)
    feed.connect()
    names = [f"camera-{k:02}" for k in range(N_STREAMS)]
    for name in names:
        feed.define(name)
    deltas, since, page = Deltas(), {}, StreamPage(names[0])  # type: ignore[var-annotated]
    overviews, depths = [], []

    def second(at: int) -> None:
        for tick in range(RATE):
            feed.clock.advance(1.0 / RATE)
            for k, name in enumerate(names):
                mood = ("Neutral", "Happy", "Sad", "Surprise")[(at + k + tick) % 4]
                for track in (1, 2):
                    feed.face(name, track, mood, valence=((at * 7 + k + tick) % 200) / 100 - 1)
            if tick == 4:
                tell()
        for name in names:
            feed.status(name, frame_age_s=0.05 + at % 3 / 10, analysed=at * RATE, dropped={"newer": at})
            if at % 2:
                feed.window(name, 1)
        tell()

    def tell() -> None:
        overviews.append(
            _size({"rows": deltas.of(overview.rows(feed.model)), "sparks": overview.sparks(feed.model, since)})
        )
        depths.append(_size(page.news(feed.model)))

    for name in names:
        for _ in range(MAX_WINDOWS):
            feed.window(name, 1)
    for at in range(4):
        second(at)
    early = _kept(feed)
    for at in range(4, 12):
        second(at)
    tracks = [life for stream in feed.model.streams.values() for life in stream.tracks.values()]
    assert len(tracks) == 2 * N_STREAMS
    rings = sum(life.series.n_bytes for life in tracks)
    assert rings == len(tracks) * int(SPAN_S / STEP_S) * (COLUMNS * 8 + 4)
    assert _kept(feed) < 1.02 * early, "what is kept does not grow with what came"
    assert max(overviews[2:]) < OVERVIEW_BYTES, max(overviews[2:])
    assert max(depths[2:]) < DEPTH_BYTES, max(depths[2:])


def _kept(feed: Feed) -> int:
    return len(pickle.dumps(feed.model.streams))


def _size(told: object) -> int:
    return len(msgspec.json.encode(told))
