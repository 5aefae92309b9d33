"""The simulators: what they promise of time, noise and confusion, and that one seed is one set of tracks."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engines.metrics import accuracy, macro_f1
from engines.temporal.confusion import PHOTOGRAPHS
from engines.temporal.residuals import RESIDUAL_TRACKS, ResidualTracks, load_tracks
from engines.temporal.scripts import played
from engines.temporal.sequences import CONTEXT, Floats, Sequences, log_probs, stat_of
from engines.temporal.simulator import JUDGING, PHOTOGRAPH_LIKE, TRAINING, Simulator, simulate

YAW, SCORE, SIZE = CONTEXT.index("yaw_deg"), CONTEXT.index("detector_score"), CONTEXT.index("face_px")


@pytest.fixture(scope="module")
def residuals() -> ResidualTracks:
    return ResidualTracks(load_tracks(RESIDUAL_TRACKS))


@pytest.fixture(scope="module", params=[TRAINING, JUDGING], ids=lambda one: one.name)
def tracks(request: pytest.FixtureRequest, residuals: ResidualTracks) -> Sequences:
    return simulate(request.param, 60, 200, np.random.default_rng(3), residuals)


def test_a_seed_is_a_set_of_tracks(residuals: ResidualTracks) -> None:
    def drawn(seed: int) -> Sequences:
        return simulate(TRAINING, 8, 40, np.random.default_rng(seed), residuals)

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert all(np.array_equal(getattr(one, name), getattr(again, name)) for name in ("probs", "context", "labels"))
    assert not np.array_equal(one.probs, other.probs)


def test_tracks_are_what_heads_read(tracks: Sequences) -> None:
    assert tracks.probs.shape == (60, 200, 7)
    assert tracks.context.shape == (60, 200, 5)
    assert np.allclose(tracks.probs.sum(-1), 1, atol=1e-5)
    assert (tracks.probs > 0).all()
    assert not tracks.gap_s[:, 0].any()
    assert (tracks.gap_s[:, 1:] > 0).all()
    usual = np.median(tracks.gap_s[:, 1:], axis=1)
    assert (usual >= 1 / 30.1).all()
    assert (usual <= 1 / 4.9).all()
    assert (tracks.gap_s > 0.25).any(), "no gap at all"
    assert set(np.unique(tracks.labels)) == set(range(7))
    assert (np.abs(tracks.context[..., YAW]) < 90).all()
    assert (tracks.context[..., SIZE] > 4).all()


def correlation(noise: Floats, lag: int) -> float:
    """Of (N,T,7), each column of each track less its mean."""
    noise = noise - noise.mean(1, keepdims=True)
    return float((noise[:, lag:] * noise[:, :-lag]).mean() / (noise**2).mean())


@pytest.mark.parametrize("settings", [TRAINING, JUDGING], ids=lambda one: one.name)
def test_noise_is_correlated_in_time_and_would_not_be_if_shuffled(
    settings: Simulator, residuals: ResidualTracks
) -> None:
    one_expression = msgspec.structs.replace(settings, neutral_s=(1e4, 1e4), other_s=(1e4, 1e4), rates_hz=(12.0, 12.0))
    noise = log_probs(simulate(one_expression, 60, 150, np.random.default_rng(5), residuals).probs)
    assert correlation(noise, 1) > 0.7
    assert correlation(noise, 6) > 0.15  # half a second
    assert correlation(noise, 6) < correlation(noise, 1)
    shuffled = np.random.default_rng(0).permuted(noise, axis=1)
    assert abs(correlation(shuffled, 1)) < 0.05


def test_the_two_simulators_differ_in_what_they_must_differ_in() -> None:
    for name in ("means", "weights", "rates_hz", "dwell", "neutral_s", "other_s", "noise", "correlation_s", "gap_s"):
        assert getattr(TRAINING, name) != getattr(JUDGING, name), name
    assert JUDGING.real_share == 0
    # The confusion of the judge is another one, not a shade of the same.
    assert np.abs(np.log(np.array(TRAINING.means)) - np.log(np.array(JUDGING.means))).mean() > 0.3


def test_single_frontal_faces_score_what_is_published_of_the_network() -> None:
    """0.67 accuracy, 0.55 macro-F1, and a temperature fitted so that confidence is accuracy."""
    stills = msgspec.structs.replace(
        PHOTOGRAPH_LIKE, weights=PHOTOGRAPHS, through_neutral=0.0, neutral_s=(1e4, 1e4), other_s=(1e4, 1e4)
    )
    seen = simulate(stills, 6000, 1, np.random.default_rng(0))
    labels, answered = seen.labels[:, 0], seen.probs[:, 0].argmax(-1)
    assert accuracy(labels, answered) == pytest.approx(0.67, abs=0.02)
    assert macro_f1(labels, answered) == pytest.approx(0.55, abs=0.025)
    assert seen.probs.max(-1).mean() == pytest.approx(0.67, abs=0.02)


def test_turned_heads_are_seen_in_the_context_and_speak_less_clearly(residuals: ResidualTracks) -> None:
    # Episodes alone: no push, only what flattens the evidence.
    settings = msgspec.structs.replace(TRAINING, episodes_hz=(0.2, 0.2), episode_sd=0.0, covered_share=0.0)
    seen = simulate(settings, 120, 200, np.random.default_rng(8), residuals)
    turned = np.abs(seen.context[..., YAW]) > 40
    assert 0.02 < turned.mean() < 0.5
    confidence = seen.probs.max(-1)
    assert confidence[turned].mean() < confidence[~turned].mean() - 0.05
    assert seen.context[..., SCORE][turned].mean() < seen.context[..., SCORE][~turned].mean() - 0.03


def test_a_label_changes_where_half_of_the_next_expression_shows() -> None:
    times_s = np.arange(400).astype(np.float32) / np.float32(100)
    begins_s, shown = np.array([0.0, 2.0], np.float32), np.array([4, 1], np.int64)
    labels, shares = played(times_s, begins_s, shown, np.ones(2, np.float32), np.array([0.3, 0.4], np.float32))
    assert np.allclose(shares.sum(-1), 1)
    assert (labels == np.where(times_s < 2.0, 4, 1)).all()
    assert ((shares[:, 1] >= 0.5) == (times_s >= 2.0 - 1e-4)).all()
    at = {t: shares[round(t * 100)] for t in (0.0, 1.75, 1.9, 2.1, 2.25)}
    assert at[0.0][4] == at[1.75][4] == at[2.25][1] == 1
    assert at[1.9][1] == pytest.approx(0.25, abs=0.01)
    assert at[2.1][1] == pytest.approx(0.75, abs=0.01)


def test_stat_is_that_of_the_block_with_the_oldest_repeated() -> None:
    probs = np.random.default_rng(1).random((2, 20, 7), np.float32)
    stat = stat_of(probs, 4)
    assert np.array_equal(stat[:, 0, :7], probs[:, 0])
    block = np.concatenate([np.repeat(probs[1, :1], 2, 0), probs[1, :2]])
    np.testing.assert_allclose(stat[1, 1], np.r_[block.min(0), block.max(0), block.mean(0)], atol=1e-6)
    block = probs[0, 8:12]
    np.testing.assert_allclose(stat[0, 11], np.r_[block.min(0), block.max(0), block.mean(0)], atol=1e-6)
