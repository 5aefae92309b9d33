from __future__ import annotations

import numpy as np
import pytest

from engines.data import Change, Strength, apply_change, augment, draw_change
from engines.data.augmentation import LIMITS
from tests.engines.data.made import drawn


def test_off_gives_the_same_pixels_in_an_array_of_its_own() -> None:
    picture = drawn(3)
    same = augment(picture, "off", seed=0, epoch=0, index=0)
    assert (same == picture).all()
    same[:] = 0
    assert picture.any()


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_change_depends_on_seed_epoch_and_index_alone(strength: Strength) -> None:
    picture = drawn(3, 32)
    told = {"seed": 4, "epoch": 2, "index": 9}
    once = augment(picture, strength, **told)
    augment(picture, strength, seed=4, epoch=2, index=8)
    assert (augment(picture, strength, **told) == once).all()
    for key in told:
        assert draw_change(strength, **{**told, key: 77}) != draw_change(strength, **told)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_all_frames_of_a_block_are_changed_alike(strength: Strength) -> None:
    block = np.stack([drawn(i, 32) for i in range(4)])
    before = block.copy()
    for index in range(12):
        changed = augment(block, strength, seed=0, epoch=1, index=index)
        assert changed.shape == block.shape
        assert changed.dtype == np.uint8
        for i in range(4):
            assert (changed[i] == augment(block[i], strength, seed=0, epoch=1, index=index)).all()
    assert (block == before).all()


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_draws_stay_within_their_limits_and_use_all_of_them(strength: Strength) -> None:
    limits = LIMITS[strength]
    changes = [draw_change(strength, seed=0, epoch=0, index=i) for i in range(600)]
    turns = np.array([change.turn_deg for change in changes])
    assert np.abs(turns).max() <= limits.turn_deg
    assert np.abs(turns).max() > 0.9 * limits.turn_deg
    assert 0.4 < np.mean([change.flip for change in changes]) < 0.6
    assert np.mean([change.erase is not None for change in changes]) == pytest.approx(limits.erase, abs=0.06)
    assert np.mean([change.saturation == 0 for change in changes]) == pytest.approx(limits.grey, abs=0.05)
    for change in changes:
        assert 1 - limits.scale <= change.scale <= 1 + limits.scale
        if change.erase is not None:
            left, top, width, height = change.erase
            assert min(left, top, width, height) >= 0
            assert max(left + width, top + height) <= 1 + 1e-9


def test_flip_mirrors_exactly() -> None:
    picture = drawn(1, 25)
    assert (apply_change(Change(flip=True), picture) == picture[:, ::-1]).all()


def test_a_shift_moves_the_content_that_way() -> None:
    picture = drawn(1, 40)
    moved = apply_change(Change(shift=(0.1, 0.0)), picture)
    assert (moved[:, 4:] == picture[:, :-4]).all()


def test_no_saturation_is_grey_and_brightness_adds() -> None:
    picture = drawn(1)
    grey = apply_change(Change(saturation=0.0), picture)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 1] == grey[..., 2]).all()
    brighter = apply_change(Change(brightness=10.0), picture)
    assert (brighter.astype(int) == np.minimum(picture.astype(int) + 10, 255)).all()


def test_coarse_takes_detail_and_keeps_colours() -> None:
    picture = drawn(1, 48)
    coarse = apply_change(Change(coarse=0.3, quality=40), picture)
    assert np.abs(np.diff(coarse.astype(int), axis=1)).max() < np.abs(np.diff(picture.astype(int), axis=1)).max()
    np.testing.assert_allclose(coarse.mean((0, 1)), picture.mean((0, 1)), atol=4)  # red is still red


def test_erase_fills_its_box_alone() -> None:
    picture = drawn(1, 40)
    erased = apply_change(Change(erase=(0.25, 0.5, 0.25, 0.2), erase_level=9), picture)
    assert (erased[20:28, 10:20] == 9).all()
    changed = (erased != picture).any(-1)
    changed[20:28, 10:20] = False
    assert not changed.any()
