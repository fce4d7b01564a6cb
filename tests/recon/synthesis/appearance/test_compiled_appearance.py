"""Compiled steps of rendering, held against their reference implementations."""

import dataclasses
import hashlib

import numba
import numpy as np
import pytest
import torch

from recon.render import rasterize
from recon.synthesis import SEGMENT_NAMES, FaceSampler, SynthesisConfig, compose, render_scene
from recon.synthesis.appearance import occluder_points, shading, shadows
from recon.synthesis.appearance import skin_points as skin_points_module
from recon.synthesis.appearance.occluder_points import (
    Cloth,
    OccluderAppearance,
    OccluderPoints,
    OccluderSurface,
    occluder_appearance,
    occluder_appearance_reference,
)
from recon.synthesis.appearance.skin_points import Complexion, SkinSurface, skin_points, skin_points_reference
from recon.synthesis.camera import camera_pipeline, isp
from recon.synthesis.camera.isp import IspSettings, tone_map, tone_map_reference
from recon.synthesis.counter_rng import CounterRng, units_reference
from recon.synthesis.geometry.attributes import ClothAttributes, GlassesAttributes, HairAttributes, SurfaceAttributes
from recon.synthesis.kernels.fast_math import exp2, log2, power
from recon.synthesis.scene import backgrounds
from recon.synthesis.scene.backgrounds import enlarged, enlarged_reference

SIZE = (23, 31)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(2)


def _same(found, expected, atol=2e-5):
    for field in dataclasses.fields(expected):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, field.name
        torch.testing.assert_close(
            ours, theirs, rtol=1e-5, atol=atol, msg=lambda text, name=field.name: f"{name}: {text}"
        )


@numba.njit
def _each(x, exponent, logs, powers, exps):
    for k in range(len(x)):
        logs[k], powers[k], exps[k] = log2(x[k]), power(x[k], exponent), exp2(np.float32(-30.0) * x[k])


@pytest.mark.parametrize("exponent", [0.4167, 1.34, 14.0, 420.0])
def test_fast_powers_are_those_of_the_c_library(exponent):
    x = np.concatenate([np.linspace(1e-6, 2.0, 5001), [1.0, 1.0 - 6e-8, 1.0 + 1.2e-7]]).astype(np.float32)
    logs, powers, exps = (np.zeros_like(x) for _ in range(3))
    _each(x, np.float32(exponent), logs, powers, exps)
    exact = x.astype(np.float64)
    assert np.abs(logs - np.log2(exact)).max() < 2e-6
    assert np.abs(exps / np.exp2(-30.0 * exact) - 1.0).max() < 4e-6
    wanted = exact ** np.float64(np.float32(exponent))
    inside = (wanted > 1e-30) & (wanted < 1e30)
    assert np.abs(powers[inside] / wanted[inside] - 1.0).max() < 1e-6 * max(4.0, exponent)
    assert powers[-3] == 1.0


def test_random_numbers_matches_its_reference_to_the_last_bit():
    rng = CounterRng.of(7, [0, 5, 2**62])
    found = rng._unit("some name", (4, 5))
    name_key = np.uint64(int.from_bytes(hashlib.blake2b(b"some name", digest_size=8).digest(), "little"))
    assert np.array_equal(found.reshape(3, 20), units_reference(rng.keys, name_key, 20))


def _surface_points(n, rng):
    """Positions, normals of any length, and albedo."""
    position = 80.0 * torch.randn(n, 3, generator=rng) - torch.tensor([0.0, 0.0, 500.0])
    return position, torch.randn(n, 3, generator=rng), torch.rand(n, 3, generator=rng)


def test_skin_equals_its_reference(rng):
    n = 400
    picture, segment = torch.arange(n) * 3 // n, torch.randint(1, 11, (n,), generator=rng)
    surface = SkinSurface(
        picture,
        segment,
        *_surface_points(n, rng),
        ambient_visibility=torch.rand(n, generator=rng),
        rest_mm=60.0 * torch.randn(n, 3, generator=rng),
    )
    complexion = Complexion(
        noise_offset=32.0 * torch.rand(3, 3, generator=rng),
        roughness=torch.tensor([0.9, 0.4, 0.0]),
        spots=torch.tensor([0.5, 0.1, 0.0]),
        bump=torch.tensor([0.05, 0.02, 0.0]),
        oiliness=torch.tensor([0.5, 1.0, 1.5]),
    )
    found = skin_points(surface, complexion)
    _same(found, skin_points_reference(surface, complexion), 1e-4)
    assert (found.relief - found.normals)[picture == 0].abs().max() > 0.01
    assert torch.equal(found.relief[picture == 2], found.normals[picture == 2])


def test_occluders_equal_their_reference(rng):
    n = 600
    kinds = torch.tensor([SEGMENT_NAMES.index(name) for name in ("hair", "clothes", "glasses", "occluder")])
    segment = kinds[torch.randint(0, 4, (n,), generator=rng)]
    attributes = SurfaceAttributes(
        HairAttributes(*(torch.rand(3, n, generator=rng) * torch.tensor([[400.0], [60.0], [1.0]]))),
        ClothAttributes(*(torch.rand(3, n, generator=rng) * torch.tensor([[3.0], [120.0], [60.0]]))),
        GlassesAttributes(torch.rand(n, generator=rng)),
    )
    surface = OccluderSurface(torch.arange(n) * 2 // n, segment, *_surface_points(n, rng), attributes)
    cloth = Cloth.sample(CounterRng.of(0, range(2)))
    found = occluder_appearance(surface, cloth)
    _same(found, occluder_appearance_reference(surface, cloth), 2e-4)
    hair = found.opacity[segment == kinds[0]]
    assert 0.05 < (hair == 0.0).float().mean() < 0.95
    assert torch.equal(found.opacity[segment == kinds[2]], attributes.glasses.opacity[segment == kinds[2]])
    assert {SEGMENT_NAMES[k] for k in found.segment.unique().tolist()} == {
        "hair", "clothes", "body", "glasses", "occluder",
    }  # fmt: skip


@pytest.fixture
def laid(rng):
    """A tilted plate as the head, crossed by two plates as the cover, in two pictures."""
    square = torch.tensor([[-0.8, -0.7, 0.1], [0.5, -0.7, 0.1], [0.5, 0.6, 0.1], [-0.8, 0.6, 0.1]])
    other = torch.tensor([[-0.2, -0.9, -0.3], [0.9, -0.9, 0.6], [0.9, 0.9, 0.6], [-0.2, 0.9, -0.3]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])

    def rendered(shape):
        clip = torch.cat((shape, torch.ones(4, 1)), dim=1)
        return rasterize(torch.stack((clip, clip * torch.tensor([0.7, 0.9, 1.0, 1.0]))), faces, SIZE)

    head, occluders = rendered(square), rendered(other)
    n = len(occluders.pixel_index)
    depth = occluders.depth_hard.reshape(-1)[occluders.pixel_index]
    appearance = OccluderAppearance(
        torch.stack((0.0 * depth, 0.0 * depth, -(500.0 + 100.0 * depth)), dim=1), torch.zeros(n, 3),
        torch.zeros(n, 3), torch.randint(11, 16, (n,), generator=rng),
        (torch.rand(n, generator=rng) * 1.4 - 0.2).clamp(0.0, 1.0), torch.ones(n), torch.zeros(n),
    )  # fmt: skip
    covered = head.triangle_ids >= 0
    head_depth = torch.where(covered, 500.0 + 100.0 * head.depth_hard, 0.0)
    segmentation = torch.where(covered, 3, 0)
    colour = torch.rand(n, 3, generator=rng)
    background = torch.rand(2, 3, *SIZE, generator=rng)
    return (
        head,
        OccluderPoints(occluders, occluders.pixel_index // (SIZE[0] * SIZE[1]), appearance),
        colour,
        background,
        segmentation,
        head_depth,
    )


def test_layers_matches_its_reference(laid):
    _, *args = laid
    before = [x.clone() for x in args[1:]]
    found = compose.sorted_layers(*args)
    _same(found, compose.sorted_layers_reference(*args), 1e-6)
    assert all(torch.equal(x, y) for x, y in zip(args[1:], before, strict=True))
    in_front = found.front[..., 3] > 0
    assert (in_front & (args[-1] > 0)).any() and (in_front & (args[-1] == 0)).any()
    assert (args[-1] > 0)[~found.visible].any() and found.visible.any()
    flat = args[2][:, :, :1, :1].expand(-1, -1, *SIZE)  # an expanded background is not written to
    compose.sorted_layers(args[0], args[1], flat, *args[3:])
    assert torch.equal(flat, args[2][:, :, :1, :1].expand(-1, -1, *SIZE))


@pytest.mark.parametrize("ambient_occlusion", [0.0, 0.8])
def test_the_head_between_its_layers_matches_its_reference(laid, ambient_occlusion, rng, monkeypatch):
    monkeypatch.setattr(compose, "_CONTACT_SHARE", 0.2)  # cells of several pixels in a picture this small
    head, *args = laid
    layers = compose.sorted_layers(*args)
    colour = torch.rand(len(head.pixel_index), 3, generator=rng) - 0.1
    found = compose.with_head(layers.back, head, colour, layers.front, ambient_occlusion)
    expected = compose.with_head_reference(layers.back, head, colour, layers.front, ambient_occlusion)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - layers.back).abs().max() > 0.1
    over = compose.with_front(found, layers.front)
    torch.testing.assert_close(over, compose.with_front_reference(found, layers.front), rtol=0, atol=1e-6)


def test_developing_matches_its_reference(rng):
    linear = 1.4 * torch.rand(5, 3, *SIZE, generator=rng) - 0.1
    config = SynthesisConfig(noise=0.7, gray=0.5, colour_cast=1.0, contrast=1.0)
    how = IspSettings.sample(config, CounterRng.of(1, range(5)))
    assert (how.noise > 0).any() and (how.noise == 0).any() and (how.gray > 0).any() and (how.gray == 0).any()
    found = tone_map(linear, how)
    torch.testing.assert_close(found, tone_map_reference(linear, how), rtol=0, atol=3e-6)
    # channels last, as the renderer makes them
    turned = linear.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    torch.testing.assert_close(tone_map(turned, how), found, rtol=0, atol=0)


def test_enlarging_backgrounds_matches_its_reference(rng):
    sharp, soft = torch.rand(3, 3, 12, 12, generator=rng), torch.rand(3, 3, 3, 3, generator=rng)
    args = (sharp, soft, torch.tensor([0.0, 0.4, 1.0]), torch.tensor([[0, 0], [509, 511], [7, 100]]))
    amount = torch.tensor([0.0, 0.05, 0.1])
    found = enlarged(*args, amount, SIZE)
    torch.testing.assert_close(found, enlarged_reference(*args, amount, SIZE), rtol=0, atol=1e-5)


def test_threads_do_not_change_a_bit(head_model):
    sampler = FaceSampler(head_model, SynthesisConfig(), seed=1, size=(48, 64))
    before = torch.get_num_threads()
    batches = []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            batches.append(sampler.batch(range(20)))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(before)
    for name, tensor in batches[0].tensors().items():
        assert torch.equal(tensor, getattr(batches[1], name)), name
    assert not batches[0].image.requires_grad and not batches[1].image.requires_grad


def test_reference_implementations_render_the_same_pictures(head_model, monkeypatch):
    """What a GPU runs, on the CPU."""
    sampler = FaceSampler(head_model, SynthesisConfig(glasses=0.5, jpeg=0.0), seed=2, size=(72, 88))
    compiled = sampler.batch(range(6))
    for module, name in (
        (render_scene, "skin_points"),
        (render_scene, "sorted_layers"),
        (render_scene, "with_head"),
        (render_scene, "with_front"),
        (render_scene, "lamp_visibility"),
        (occluder_points, "occluder_appearance"),
        (camera_pipeline, "tone_map"),
        (backgrounds, "enlarged"),
        (shading, "shade"),
    ):
        plain = {"lamp_visibility": shadows, "skin_points": skin_points_module}.get(name, module)
        plain = compose if hasattr(compose, f"{name}_reference") else plain
        plain = isp if name == "tone_map" else plain
        monkeypatch.setattr(module, name, getattr(plain, f"{name}_reference"))
    plain_batch = sampler.batch(range(6))
    gap = (plain_batch.image - compiled.image).abs()
    assert 0.0 < gap.mean() < 1e-5 and gap.max() < 0.05
    assert (plain_batch.segmentation != compiled.segmentation).float().mean() < 1e-4
    assert torch.equal(plain_batch.depth_mm, compiled.depth_mm)
