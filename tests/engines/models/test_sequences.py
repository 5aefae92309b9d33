"""Whole sequences equal steps, blocks equal brute force, STAT equals the streamer's ring."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engines.models import (
    AffectHead,
    AffectModel,
    BackboneConfig,
    LstmConfig,
    ModelConfig,
    blocks_of,
    build_model,
    rows_of,
    stat_of,
)
from engines.spec import StatKind, stat_size
from streamer.state.stat import Ring

STATS: tuple[StatKind, ...] = ("none", "probs", "mean", "min_max_mean")
LSTMS = (
    None,
    LstmConfig(form="windowed", units=6),
    LstmConfig(form="windowed", layers=2, units=5),
    LstmConfig(form="recurrent", units=6),
)


def head_of(stat: StatKind, lstm: LstmConfig | None, n_features: int = 5, window: int = 4) -> AffectHead:
    torch.manual_seed(3)
    return AffectHead(ModelConfig(name="t", stat=stat, lstm=lstm, window=window, head_units=8), n_features).eval()


def stepwise(head: AffectHead, features: Tensor, probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    config, n = head.config, probs.shape[0]
    h = c = torch.zeros(n, head.hidden) if head.hidden else None
    logits, valence = [], []
    for t in range(probs.shape[1]):
        back = [max(0, t - i) for i in range(config.window - 1, -1, -1)]
        stat = stat_of(rows_of(features[:, back], probs[:, back], config.stat), config.stat)
        out = head(features[:, t], probs[:, t], stat, probs[:, back], h, c)
        h, c = out.h, out.c
        logits.append(out.logits)
        valence.append(out.valence)
    return torch.stack(logits, 1), torch.stack(valence, 1), h if h is not None else torch.zeros(0)


@pytest.mark.parametrize("lstm", LSTMS, ids=["none", "windowed", "windowed2", "recurrent"])
@pytest.mark.parametrize("stat", STATS)
def test_a_whole_sequence_equals_its_steps(stat: StatKind, lstm: LstmConfig | None) -> None:
    head = head_of(stat, lstm)
    random = torch.Generator().manual_seed(8)
    features = torch.randn(2, 11, 5, generator=random)
    probs = torch.randn(2, 11, 7, generator=random).softmax(-1)
    whole = head.forward_sequence(features, probs)
    logits, valence, h = stepwise(head, features, probs)
    assert torch.allclose(whole.logits, logits, atol=1e-5)
    assert whole.valence is not None
    assert torch.allclose(whole.valence, valence, atol=1e-5)
    if head.hidden:
        assert whole.h is not None
        assert torch.allclose(whole.h, h, atol=1e-5)


def test_a_sequence_cut_in_two_goes_on_from_the_carried_state() -> None:
    head = head_of("none", LSTMS[3])
    random = torch.Generator().manual_seed(9)
    features, probs = torch.randn(1, 10, 5, generator=random), torch.rand(1, 10, 7, generator=random)
    whole = head.forward_sequence(features, probs)
    first = head.forward_sequence(features[:, :4], probs[:, :4])
    second = head.forward_sequence(features[:, 4:], probs[:, 4:], first.h, first.c)
    assert torch.allclose(whole.logits[:, 4:], second.logits, atol=1e-5)
    fresh = head.forward_sequence(features[:, 4:], probs[:, 4:])
    assert not torch.allclose(whole.logits[:, 4:], fresh.logits, atol=1e-5)


@pytest.mark.parametrize("lstm", LSTMS, ids=["none", "windowed", "windowed2", "recurrent"])
def test_nothing_looks_ahead(lstm: LstmConfig | None) -> None:
    head = head_of("min_max_mean", lstm)
    random = torch.Generator().manual_seed(10)
    features, probs = torch.randn(1, 9, 5, generator=random), torch.rand(1, 9, 7, generator=random)
    before = head.forward_sequence(features, probs).logits[:, :6]
    features[:, 6:], probs[:, 6:] = 9.0, 0.5
    assert torch.equal(before, head.forward_sequence(features, probs).logits[:, :6])


@given(st.integers(1, 6), st.integers(1, 12), st.sampled_from(STATS[1:]), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_stat_is_that_of_the_streamers_ring(window: int, steps: int, kind: StatKind, seed: int) -> None:
    random = np.random.default_rng(seed)
    features = random.standard_normal((steps, 3)).astype(np.float32)
    probs = random.dirichlet(np.ones(7), steps).astype(np.float32)
    rows = rows_of(torch.from_numpy(features), torch.from_numpy(probs), kind)[None]
    ours = stat_of(blocks_of(rows, window), kind)[0].numpy()
    ring = Ring(window, kind, 3)
    for t in range(steps):
        out = np.empty(stat_size(kind, 3), np.float32)
        ring.stage(features[t], probs[t], out)
        ring.commit()
        np.testing.assert_allclose(ours[t], out, atol=1e-6)


@pytest.mark.parametrize("lstm", LSTMS, ids=["none", "windowed", "windowed2", "recurrent"])
def test_a_model_of_blocks_of_pictures_equals_its_parts(lstm: LstmConfig | None) -> None:
    config = ModelConfig(
        name="t",
        stat="min_max_mean",
        lstm=lstm,
        window=3,
        head_units=8,
        backbone=BackboneConfig(name="small", input_size_px=32),
    )
    model = build_model(config, seed=4).eval()
    pictures = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 255
    whole = model(pictures)
    seen = model.backbone(pictures.flatten(0, 1))
    parts = model.head.forward_sequence(seen.features.view(2, 3, -1), seen.probs.view(2, 3, -1))
    assert torch.allclose(whole.logits, parts.logits[:, -1], atol=1e-5)


def test_a_block_costs_gradients_of_its_last_picture_only_unless_asked() -> None:
    config = ModelConfig(
        name="t", stat="probs", window=3, head_units=8, backbone=BackboneConfig(name="small", input_size_px=32)
    )
    model: AffectModel = build_model(config, seed=4)
    pictures = (torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 255).requires_grad_()
    model(pictures).logits.sum().backward()
    assert pictures.grad is not None
    assert pictures.grad[:, :-1].abs().sum() == 0
    assert pictures.grad[:, -1].abs().sum() > 0
    again = pictures.detach().requires_grad_()
    model(again, past_needs_grad=True).logits.sum().backward()
    assert again.grad is not None
    assert again.grad[:, :-1].abs().sum() > 0


def test_the_seed_makes_the_weights_and_leaves_the_callers_alone() -> None:
    config = ModelConfig(name="t", head_units=8, backbone=BackboneConfig(name="small", input_size_px=32))
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    first, second, other = (build_model(config, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.rand(1), wanted)
    first_weights, second_weights, other_weights = (
        torch.cat([weight.flatten() for weight in model.parameters()]) for model in (first, second, other)
    )
    assert torch.equal(first_weights, second_weights)
    assert not torch.equal(first_weights, other_weights)
