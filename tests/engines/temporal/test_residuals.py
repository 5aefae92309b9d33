"""Real tracks: kept as numbers, read from exports, played as noise, spliced at known moments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines.errors import BadData
from engines.spec import EXPRESSIONS
from engines.temporal.residuals import (
    FEWEST_OBSERVATIONS,
    RESIDUAL_TRACKS,
    SPLICE_TRACKS,
    RealTrack,
    ResidualTracks,
    load_tracks,
    save_tracks,
    tracks_of_export,
)
from engines.temporal.sequences import GAP
from engines.temporal.splices import KNOWN, Stretch, spliced, stretches_of


def exported(path: Path, n: int) -> Path:
    rows = []
    for i in reversed(range(n)):  # an export of several workers need not be in order
        probs = {f"bare_p_{one.lower()}": 0.1 + 0.3 * (k == i % 7) for k, one in enumerate(EXPRESSIONS)}
        place = {"stream": "hall", "track": 3, "media_time_s": i / 10}
        rows.append(
            json.dumps(place | probs | {"detector_score": 0.5, "face_px": 40 + i, "roll_deg": -i, "yaw_deg": 2})
        )
    path.write_text("\n".join(rows))
    return path


def test_tracks_are_read_from_an_export_in_the_order_of_time(tmp_path: Path) -> None:
    [track] = tracks_of_export(exported(tmp_path / "o.jsonl", FEWEST_OBSERVATIONS + 2))
    assert track.name == "hall/3"
    assert track.rate_hz == pytest.approx(10, rel=1e-4)
    assert track.log_probs.argmax(-1).tolist() == [i % 7 for i in range(FEWEST_OBSERVATIONS + 2)]
    assert track.context[0].tolist() == [0, 0.5, 40, 0, 2]
    assert track.context[5].tolist() == pytest.approx([0.1, 0.5, 45, -5, 2], abs=1e-6)
    assert tracks_of_export(exported(tmp_path / "short.jsonl", FEWEST_OBSERVATIONS - 1)) == []


@pytest.mark.parametrize("text", ["{", '{"stream": "a"}', "[]"])
def test_what_is_no_export_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(BadData, match="streamer export"):
        tracks_of_export(tmp_path / "x.jsonl")


def test_tracks_come_back_from_their_file(tmp_path: Path) -> None:
    tracks = tracks_of_export(exported(tmp_path / "o.jsonl", 20))
    save_tracks(tmp_path / "t.npz", tracks)
    [again] = load_tracks(tmp_path / "t.npz")
    assert again.name == tracks[0].name
    assert np.array_equal(again.times_s, tracks[0].times_s)
    np.testing.assert_allclose(again.log_probs, tracks[0].log_probs, atol=2e-3)
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(BadData, match="holds no tracks"):
        load_tracks(tmp_path / "no.npz")


def test_no_clip_is_both_noise_and_judge() -> None:
    def clips(path: Path) -> set[str]:
        return {track.name.rpartition("/")[0].partition("-worse")[0] for track in load_tracks(path)}

    assert len(clips(RESIDUAL_TRACKS)) == 3
    assert clips(RESIDUAL_TRACKS) & clips(SPLICE_TRACKS) == set()
    assert {one.clip for one in KNOWN} == clips(SPLICE_TRACKS)
    assert RESIDUAL_TRACKS.stat().st_size + SPLICE_TRACKS.stat().st_size < 100_000


def test_a_block_wavers_as_its_track_does() -> None:
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.normal(size=(20, 7)), 15, 0).astype(np.float32)
    track = RealTrack("a/1", (np.arange(300) / 10).astype(np.float32), slow, np.zeros((300, 5), np.float32))
    tracks = ResidualTracks((track,))
    same, twice = tracks.block(200, 10.0, np.random.default_rng(1)), tracks.block(200, 20.0, np.random.default_rng(1))

    def held(noise: np.ndarray) -> float:
        return float((np.abs(np.diff(noise, axis=0)).max(1) < 1e-4).mean())

    assert held(twice) > held(same) > 0.7  # levels of 15 observations, of 30 at twice the rate
    residual = slow - slow.mean(0)
    ratio = np.sort(same.std(0)) / np.sort(residual.std(0))
    assert ((ratio > 0.3) & (ratio < 2.5)).all()
    endless = tracks.block(2000, 10.0, np.random.default_rng(3))
    assert np.isfinite(endless).all()
    assert endless[900:].std() > 0.1


def test_splices_change_where_they_say_and_nowhere_else() -> None:
    def stretch(label: int) -> Stretch:
        probs = np.full((40, 7), 0.01, np.float32)
        probs[:, label] = 0.94
        context = np.full((40, 5), 0.04, np.float32)
        return Stretch(probs, context, label)

    tracks = spliced([stretch(0), stretch(4), stretch(4)], 5, 200, np.random.default_rng(0))
    assert np.array_equal(tracks.probs.argmax(-1), tracks.labels)
    assert not tracks.gap_s[:, 0].any()
    assert (tracks.gap_s[:, 1:] > 0).all()
    lengths = np.diff(np.flatnonzero(np.diff(tracks.labels[0])))
    assert ((lengths >= 15) & (lengths <= 60)).all()
    with pytest.raises(BadData, match="two expressions"):
        spliced([stretch(4)], 1, 50, np.random.default_rng(0))


def test_the_real_stretches_are_known_and_some_of_them_are_hard() -> None:
    stretches = stretches_of(load_tracks(SPLICE_TRACKS))
    assert {EXPRESSIONS[one.label] for one in stretches} == {"Neutral", "Happy"}
    right = np.concatenate([one.probs.argmax(-1) == one.label for one in stretches])
    assert 0.85 < right.mean() < 0.99
    assert len(right) > 1000
    assert all(one.context[:, GAP].max() < 1.5 for one in stretches)
