"""One texture of several photos: what they agree on, and where they show the face."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from heads_in_photos import SIZE, Turned, cheek, everything, marked

import bfm
from bfm.model import MorphableModel
from recon.texturing.many_photos import FaceTexture, PhotoInTexture, TextureCollector, averaged, robust_mean
from recon.texturing.observed_albedo import ObservedAlbedo


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return bfm.load("open", n_identity=2, n_albedo=2)


def texture_of(photos: list[PhotoInTexture], uv_map, segmenter=everything) -> FaceTexture:
    collector = TextureCollector(uv_map, segmenter)
    for photo in photos:
        collector.add(photo)
    return collector.texture()


def test_one_photo_gives_its_own_texture(model: MorphableModel) -> None:
    head = Turned(model, 25.0)
    found = texture_of([PhotoInTexture(head.head(), 0.3)], head.texels)
    np.testing.assert_array_equal(found.colours / 255.0, head.texture())
    assert found.coverage_percent.shape == (SIZE, SIZE) and 20.0 < found.covered_percent < 90.0


def test_what_a_photo_hides_another_shows(model: MorphableModel) -> None:
    """Marks of both cheeks from two half profiles; from one, the other cheek takes the wrong one."""
    left, right = cheek(model, 1), cheek(model, -1)
    worn = marked(model, left)
    heads = [Turned(model, yaw, worn=worn) for yaw in (-60.0, 60.0)]
    both = texture_of([PhotoInTexture(head.head()) for head in heads], heads[0].texels)
    plain, colours = heads[0].plain(), both.colours / 255.0
    assert heads[0].at(plain, left).mean() - heads[0].at(colours, left).mean() > 0.05
    assert abs(heads[0].at(plain, right).mean() - heads[0].at(colours, right).mean()) < 0.02
    mirrored = [abs(head.at(plain, right).mean() - head.at(head.texture(), right).mean()) for head in heads]
    assert max(mirrored) > 0.05, "or this shows nothing"
    singles = [texture_of([PhotoInTexture(head.head())], head.texels) for head in heads]
    assert both.covered_percent > 1.3 * max(one.covered_percent for one in singles)
    sides = [heads[0].at(both.coverage_percent[..., None], place)[0] for place in (left, right)]
    assert max(sides) < 60.0 and both.coverage_percent.max() <= 100


def test_a_highlight_that_moves_does_not_stay() -> None:
    """In each photo it lies on other texels."""
    rng = np.random.default_rng(1)
    pattern = rng.normal(0.0, 0.05, (300, 3)).astype(np.float32)
    photos = []
    for k in range(6):
        residual = pattern.copy()
        residual[50 * k : 50 * (k + 1)] += 0.5
        photos.append(observed(residual, np.ones(300, np.float32)))
    found = averaged(photos, *np.ones((3, 6), np.float32)).residual - pattern
    assert np.abs(found - found.mean(axis=0)).max() < 0.02
    plain = np.mean([one.residual for one in photos], axis=0) - pattern
    assert plain.mean() > 0.05, "or this shows nothing"


def test_what_one_mask_of_many_takes_for_skin_is_none() -> None:
    """A fringe covers the first texels in all photos; one mask errs. The last are seen by one photo alone, which knows best."""
    in_view, weight = np.ones((5, 90), np.float32), np.ones((5, 90), np.float32)
    weight[:4, :30] = 0.0
    in_view[1:, 60:] = weight[1:, 60:] = 0.0
    photos = [
        dataclasses.replace(observed(np.zeros((90, 3), np.float32), w), in_view=v)
        for w, v in zip(weight, in_view, strict=True)
    ]
    found = averaged(photos, *np.ones((3, 5), np.float32)).weight
    assert (found[:30] < 0.5).all() and (found[30:] == 1.0).all()


def test_eyes_are_those_of_the_photos_in_which_they_are_open(model: MorphableModel) -> None:
    brown = model.mean_albedo[None].clamp(0, 1).clone()
    blue = brown.clone()
    blue[0, model.region("irises")] *= torch.tensor([1.2, 1.8, 2.4])
    open_eyes, shut = Turned(model, 5.0, worn=blue), Turned(model, -5.0)
    photos = [PhotoInTexture(shut.head(), 5.0, eyes_open=1.0), PhotoInTexture(open_eyes.head(), eyes_open=9.0)]
    found = texture_of(photos, shut.texels).colours / 255.0
    iris = shut.texels.sample(model.region("irises")[:, None].float(), model.faces)[..., 0].numpy() > 0.99
    gained = found[iris].mean(axis=0) / shut.plain()[iris].mean(axis=0)
    assert gained[2] > 1.25


def test_photos_of_different_exposure_take_one_level() -> None:
    """The same pattern, half a stop apart, seen in different places: no step between them is left."""
    rng = np.random.default_rng(3)
    pattern = rng.normal(0.0, 0.05, (400, 3)).astype(np.float32)
    weights = np.zeros((2, 400), np.float32)
    weights[0, :260], weights[1, 140:] = 1.0, 1.0
    photos = [observed(pattern + 0.2 * k, weight) for k, weight in enumerate(weights)]
    found = averaged(photos, *np.ones((3, 2), np.float32))
    away = found.residual - pattern
    assert np.abs(away - away.mean(axis=0)).max() < 0.02
    assert (found.weight == 1.0).all()


def observed(residual: np.ndarray, weight: np.ndarray) -> ObservedAlbedo:
    ones = np.ones(len(residual), np.float32)
    nothing = (torch.zeros(1, 3), torch.zeros(1, dtype=torch.bool))
    return ObservedAlbedo(residual, weight, weight, ones, *nothing, *nothing)


def test_the_robust_mean() -> None:
    rng = np.random.default_rng(4)
    true = rng.normal(0.0, 0.3, (50, 3))
    values = true + rng.normal(0.0, 0.02, (9, 50, 3))
    weights = rng.uniform(0.3, 1.0, (9, 50))
    plain = np.einsum("kn,knc->nc", weights, values) / weights.sum(axis=0)[:, None]
    np.testing.assert_allclose(robust_mean(values, weights), plain, atol=2e-3)
    wrong = values.copy()
    wrong[2] += 2.0
    np.testing.assert_allclose(robust_mean(wrong, weights), true, atol=0.05)
    weights[:, 0] = 0.0
    assert not robust_mean(values, weights)[0].any()


def test_what_cannot_be_asked_for(model: MorphableModel) -> None:
    head = Turned(model, 0.0)
    collector = TextureCollector(head.texels, everything)
    with pytest.raises(ValueError, match="at least one photo"):
        collector.texture()
    with pytest.raises(ValueError, match="above 0"):
        collector.add(dataclasses.replace(PhotoInTexture(head.head()), quality=0.0))
