"""Light, shadow, camera effects and expressions, part by part."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from recon.color import linear_to_srgb
from recon.lighting import irradiance
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.appearance import shading
from recon.synthesis.appearance.shadows import lamp_visibility, lamp_visibility_reference, shadow_maps
from recon.synthesis.camera.camera_pipeline import camera_pipeline
from recon.synthesis.camera.jpeg import jpeg
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.anatomy import ambient_visibility, light_frames
from recon.synthesis.noise import line_noise, solid_noise
from recon.synthesis.render_scene import ambient_visibility_of, multi_bounce
from recon.synthesis.scene.backgrounds import BackgroundError, FolderBackgrounds
from recon.synthesis.scene.expressions import EXPRESSIONS, expression_table, mirrored_names, sample_expressions
from recon.synthesis.scene.lights import Lights, sample_lights


def _points(n=60, pictures=2):
    generator = torch.Generator().manual_seed(1)

    def unit(*shape):
        return torch.nn.functional.normalize(torch.randn(*shape, 3, generator=generator), dim=-1)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    picture = torch.arange(n) * pictures // n
    points = shading.Points(
        picture, (0, n // 2, n), 30.0 * torch.randn(n, 3, generator=generator) - torch.tensor([0.0, 0.0, 500.0]),
        unit(n), rand(n, 3), rand(n), 3.0 * rand(n), 5.0 + 100.0 * rand(n), rand(n), rand(n, 2),
    )  # fmt: skip
    lights = Lights(
        0.3 * torch.randn(pictures, 9, 3, generator=generator), unit(pictures, 2), rand(pictures, 2, 3), rand(pictures)
    )
    return points, lights


def test_compiled_shading_matches_its_reference():
    points, lights = _points()
    config = SynthesisConfig()
    compiled = shading.shade(points, lights, config)
    assert torch.allclose(compiled, shading.shade_reference(points, lights, config), atol=2e-5)
    dull = SynthesisConfig.of({"specular": 0.0, "subsurface": 0.0})
    assert torch.allclose(shading.shade(points, lights, dull), shading.shade_reference(points, lights, dull), atol=2e-5)
    assert not torch.allclose(compiled, shading.shade(points, lights, dull), atol=1e-3)


def _cast():
    """A small plate floating 60 mm in front of a large one, the lamp beside the camera."""
    square = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    vertices = torch.cat((150.0 * square, 25.0 * square + torch.tensor([0.0, 0.0, 60.0])))[None]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    centre = torch.zeros(1, 3)
    towards = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 1.0]]), dim=-1)
    return shadow_maps(vertices, faces, centre, towards), centre, towards


def test_a_shadow_falls_where_geometry_says():
    maps, centre, towards = _cast()
    # the plate's shadow is shifted by 60 mm to the left
    spots = torch.tensor([[-60.0, 0, 0], [0, 0, 0], [60, 0, 0], [-60, 80, 0]])
    lit = lamp_visibility(maps, spots, torch.zeros(4, dtype=torch.int64), centre, towards, torch.zeros(1))
    assert lit.tolist() == [0.0, 1.0, 1.0, 1.0]


def test_surfaces_that_face_the_lamp_do_not_shadow_themselves(head_model):
    bare = {"yaw_deg": 30.0, "pitch_deg": 10.0, "roll_deg": 5.0}
    samplers = [FaceSampler(head_model, SynthesisConfig.clean(shadows=s, **bare), 3, (200, 200)) for s in (1.0, 1e-9)]
    shadowed, lit = (sampler.batch(range(16)) for sampler in samplers)
    lamps = samplers[0].scene(range(16)).lights.directions[:, 0]
    facing = (shadowed.normals * lamps[:, :, None, None]).sum(dim=1, keepdim=True) > 0.1
    dark = (lit.image - shadowed.image).mean(dim=1, keepdim=True) > 0.02
    # the nose's shadow stays
    assert 0.001 < dark[shadowed.face_mask & facing].float().mean() < 0.03


def test_compiled_shadow_lookup_matches_its_reference():
    maps, centre, towards = _cast()
    spots = 100.0 * torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    args = (maps, spots, torch.zeros(500, dtype=torch.int64), centre, towards, torch.full((1,), 0.7))
    assert torch.equal(lamp_visibility(*args), lamp_visibility_reference(*args))


def test_hollows_are_dark_and_open_places_light(head_model):
    visibility = ambient_visibility(head_model.mean_shape, head_model.faces)
    forehead = visibility[head_model.region("forehead")]
    assert forehead.median() > 0.9
    assert visibility[head_model.region("teeth")].median() < 0.2


def test_light_frames_are_rotations():
    towards = torch.nn.functional.normalize(torch.randn(7, 3), dim=-1)
    frames = light_frames(towards)
    assert torch.allclose(frames @ frames.transpose(1, 2), torch.eye(3).expand(7, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(frames), torch.ones(7), atol=1e-5)
    assert torch.allclose(frames[:, 2], towards)


def test_even_light_shows_the_albedo():
    rng = CounterRng.of(0, range(5))
    facing = torch.tensor([[0.0, 0.0, 1.0]]).expand(5, 3)
    lights = sample_lights(rng, 0.0, 0.0, facing, torch.full((5,), 0.26))
    assert lights.irradiances.abs().max() == 0.0
    level = irradiance(facing[:, None], lights.total) / torch.pi
    assert torch.allclose(level, torch.full_like(level, 0.95), atol=1e-3)


def test_faces_are_exposed_whatever_the_light():
    rng = CounterRng.of(3, range(300))
    facing = torch.nn.functional.normalize(rng.normal("facing", 3) + torch.tensor([0.0, 0.0, 2.0]), dim=-1)
    lights = sample_lights(rng, 1.0, 1.0, facing, torch.full((300,), 0.26))
    level = irradiance(facing[:, None], lights.total).mean(dim=(1, 2)) / torch.pi
    assert 0.7 < level.median() < 1.6
    assert (level > 0.2).float().mean() > 0.95


def test_jpeg_is_what_pillow_makes():
    generator = np.random.default_rng(0)
    small = generator.uniform(0.2, 0.8, (6, 5, 3)) * 255
    picture = np.asarray(Image.fromarray(small.astype(np.uint8)).resize((80, 96), Image.Resampling.BICUBIC))
    tensor = torch.as_tensor(picture / 255.0, dtype=torch.float32).permute(2, 0, 1)[None]
    for quality in (30, 75):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="JPEG", quality=quality, subsampling=0)
        expected = np.asarray(Image.open(buffer), dtype=np.float64) / 255.0
        ours = jpeg(tensor, torch.tensor([float(quality)]), torch.tensor([False]))[0].permute(1, 2, 0).numpy()
        assert np.abs(ours - expected).mean() < 0.004
        assert np.abs(picture / 255.0 - expected).mean() > np.abs(ours - expected).mean()


def test_jpeg_takes_any_size():
    picture = torch.rand(2, 3, 37, 53)
    result = jpeg(picture, torch.tensor([95.0, 20.0]), torch.tensor([True, False]))
    assert result.shape == picture.shape
    gap = (result - picture).abs().mean(dim=(1, 2, 3))
    assert gap[0] < gap[1]


def test_without_effects_a_photo_is_the_srgb_curve():
    linear = torch.rand(2, 3, 16, 18, generator=torch.Generator().manual_seed(0))
    photo = camera_pipeline(linear, SynthesisConfig.clean(), CounterRng.of(0, range(2)))
    # Close to black the two round differently, by 1e-7 at most.
    assert torch.allclose(photo, linear_to_srgb(linear), atol=1e-6)


def test_expressions_stay_in_range_and_include_what_is_asked_for(head_model):
    names = head_model.expression_names
    rng = CounterRng.of(0, range(400))
    weights = sample_expressions(names, rng, 1.0, torch.zeros(400, 2), 1.0)
    assert 0.0 <= weights.min() and weights.max() <= 1.0
    blink = weights[:, names.index("eyeBlinkLeft")]
    assert 0.03 < (blink > 0.8).float().mean() < 0.25
    assert (weights[:, names.index("jawOpen")] > 0.5).float().mean() > 0.005
    still = sample_expressions(names, rng, 0.0, torch.zeros(400, 2), 0.0)
    assert still.abs().max() == 0.0


def test_gaze_turns_both_eyes_the_same_way(head_model):
    names = head_model.expression_names
    gaze = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weights = sample_expressions(names, CounterRng.of(0, range(2)), 0.0, gaze, 0.0)
    eyes = head_model.region("left_eye"), head_model.region("right_eye")
    rest = head_model.shape(None, torch.zeros(1, 52))
    moved = head_model.shape(None, weights) - rest
    for eye in eyes:
        front = eye & (head_model.mean_shape[:, 2] > head_model.mean_shape[eye, 2].max() - 2.0)
        assert moved[0, front, 0].mean() > 0.5
        assert moved[1, front, 1].mean() > 0.5


def test_mirrored_names_are_partners(head_model):
    names = head_model.expression_names
    partner = mirrored_names(names)
    assert [partner[k] for k in partner] == list(range(52))
    assert names[partner[names.index("jawLeft")]] == "jawRight"
    assert partner[names.index("jawOpen")] == names.index("jawOpen")
    assert expression_table(names).shape == (len(EXPRESSIONS), 52)


def test_noise_repeats_without_a_seam_and_is_smooth():
    points = torch.tensor([[31.999, 5.0, 0.0], [32.001, 5.0, 0.0], [-0.001, 5.0, 32.0]])
    found = solid_noise(points)
    assert torch.allclose(found[0], found[1], atol=0.02)
    assert torch.allclose(found[0], found[2], atol=0.02)
    where = torch.linspace(-5.0, 5.0, 1001)
    assert (line_noise(where)[1:] - line_noise(where)[:-1]).abs().max() < 0.05
    assert torch.allclose(line_noise(where), line_noise(where + 4096.0), atol=1e-2)


def test_background_folders(tmp_path):
    with pytest.raises(BackgroundError, match="does not exist"):
        FolderBackgrounds(tmp_path / "none")
    with pytest.raises(BackgroundError, match="holds no pictures"):
        FolderBackgrounds(tmp_path)
    Image.fromarray(np.full((30, 50, 3), (200, 10, 10), np.uint8)).save(tmp_path / "red.png")
    sampled = FolderBackgrounds(tmp_path).sample(CounterRng.of(0, range(3)), (20, 24))
    assert sampled.shape == (3, 3, 20, 24)
    assert torch.allclose(sampled[:, 0], torch.tensor(200 / 255), atol=0.01)
    (tmp_path / "red.png").write_bytes(b"no picture")
    with pytest.raises(BackgroundError, match=r"no pictures that can be read: .*red\.png is not an image"):
        FolderBackgrounds(tmp_path)


def test_backgrounds_are_kept_small_and_few(tmp_path, monkeypatch):
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (600, 900, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    monkeypatch.setattr("recon.synthesis.scene.backgrounds._KEPT_BYTES", 2 * 3 * 320 * 213)
    backgrounds = FolderBackgrounds(tmp_path)
    first = [backgrounds.picture(number) for number in range(6)]
    assert all(picture.shape == (3, 213, 320) for picture in first)
    assert len(backgrounds._kept) == 2
    assert all(torch.equal(backgrounds.picture(number), first[number]) for number in (5, 0, 3))


def test_small_backgrounds_keep_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 320, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert torch.equal(FolderBackgrounds(tmp_path).picture(0), torch.as_tensor(pixels).permute(2, 0, 1))


def test_bad_backgrounds_are_left_out_counted_and_replaced(tmp_path, caplog, monkeypatch):
    for number in range(4):
        Image.fromarray(np.full((30, 50, 3), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "0.jpg").write_bytes(b"no picture")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # pictures over Pillow's own limit are read too
    backgrounds = FolderBackgrounds(tmp_path)
    assert len(backgrounds.paths) == 4
    assert "1 of 5 background pictures in" in caplog.records[0].getMessage()
    data = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(data[: len(data) - 30])  # its header is still sound
    assert [int(backgrounds.picture(k)[0, 0, 0]) for k in range(4)] == [0, 50, 150, 150]
    assert "1 of 4 background pictures turned out to be damaged" in caplog.records[-1].getMessage()
    assert backgrounds.sample(CounterRng.of(0, range(20)), (16, 16)).shape == (20, 3, 16, 16)


def test_bright_hollows_are_less_dark_and_black_ones_as_dark_as_they_are_deep():
    free = torch.linspace(0.0, 1.0, 21)
    assert torch.equal(multi_bounce(free, torch.zeros(21)), free)
    bright = multi_bounce(free, torch.full((21,), 0.6))
    assert bool((bright >= free).all()) and bool((bright.diff() > 0.0).all())
    assert float(bright[6]) == pytest.approx(0.526, abs=2e-3)  # by hand, for 0.3 free
    assert float(bright[0]) == 0.0 and float(bright[-1]) == pytest.approx(1.0, abs=2e-3)


def test_teeth_behind_parted_lips_are_lit(open_model):
    """A grin parts the lips with the jaw closed."""
    names = open_model.expression_names
    config = SynthesisConfig.clean(ambient_occlusion=1.0, skin_detail=1.0)
    sampler = FaceSampler(open_model, config, 4, (64, 64))
    scene = sampler.scene([0])
    teeth = open_model.region("teeth")
    lit = {}
    for name, amount in (("closed", 0.0), ("grin", 0.8)):
        weights = torch.zeros(1, len(names))
        for part in ("mouthUpperUp", "mouthLowerDown"):
            for side in ("Left", "Right"):
                weights[0, names.index(part + side)] = amount
        shown = dataclasses.replace(scene, v_obj=open_model.shape(scene.people.identity, weights), expression=weights)
        lit[name] = ambient_visibility_of(shown, open_model, sampler.assets.anatomy)[0, teeth].quantile(0.95)
    assert lit["closed"] < 0.15 and lit["grin"] > 1.8 * lit["closed"]
