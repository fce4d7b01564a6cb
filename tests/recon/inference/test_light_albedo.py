"""Light and albedo solved on a crop: known light comes back, and what it must not touch stays."""

import dataclasses

import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.color import encode_srgb_unclamped
from recon.decoder import DecodedFaces, FaceDecoder
from recon.detection.align import align
from recon.inference.light_albedo import (
    LightAlbedoSettings,
    _gauss_newton_step,
    _light_prior,
    _pixels,
    solve_light_and_albedo,
)
from recon.inference.regress import CropRegression
from recon.lighting import ambient, irradiance, lamps_to_sh
from recon.parameters import FaceParameters
from recon.rotation import euler_to_matrix

SIDE = 72


@pytest.fixture(scope="module")
def decoder(open_model):
    return FaceDecoder(open_model, "face")


def rendered_face(decoder, lighting, skin=0.0, yaw=0.3):
    """A face of known albedo and light, and the answer "mean albedo, front light" at the right place."""
    model = decoder.model
    generator = torch.Generator().manual_seed(1)
    albedo = torch.zeros(1, model.n_albedo)
    albedo[0, :2] = torch.tensor([skin, 0.3])
    truth = FaceParameters(
        0.5 * torch.randn(1, model.n_identity, generator=generator),
        torch.zeros(1, model.n_expression),
        albedo,
        euler_to_matrix(torch.tensor([[0.05, yaw, 0.0]])),
        torch.tensor([[4.0, 25.0, -1000.0]]),
        lighting,
    )
    camera = PerspectiveCamera.at(
        truth.rotation, truth.translation_mm, size=(SIDE, SIDE), focal_px=torch.full((1, 2), 4.4 * SIDE)
    )
    faces = DecodedFaces(decoder, truth, camera)
    rendered = faces.render((SIDE, SIDE))
    crop = encode_srgb_unclamped(rendered.image, model.albedo_space).clamp(0.0, 1.0)
    crop = torch.where(rendered.covered, crop, torch.full_like(crop, 0.4))
    five = torch.tensor([[25.0, 30.0], [45.0, 30.0], [35.0, 42.0], [28.0, 50.0], [42.0, 50.0]]).double().numpy()
    answer = dataclasses.replace(truth, albedo=torch.zeros_like(albedo), lighting=ambient(torch.full((1, 3), 0.6)))
    return truth, CropRegression(answer, crop, camera, align(five, SIDE))


def shading(lighting):
    """Light on a sphere's front, over pi."""
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(400, 3, generator=generator), dim=1)
    return irradiance(normals[normals[:, 2] > 0.2], lighting[0]) / torch.pi


def gap_of(face, decoder):
    faces = DecodedFaces(decoder, face.coefficients, face.crop_camera)
    rendered = faces.render((SIDE, SIDE))
    return float((faces.srgb_image(rendered) - face.crop).abs()[rendered.covered.expand(1, 3, -1, -1)].mean())


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_known_light_comes_back(decoder, side):
    lamp = lamps_to_sh(torch.tensor([[[side, 0.4, 1.0]]]), torch.full((1, 1, 3), 1.6))
    truth, face = rendered_face(decoder, ambient(torch.full((1, 3), 0.55)) + lamp)
    found = solve_light_and_albedo(face, decoder)
    wanted, before, after = (shading(c.lighting) for c in (truth, face.coefficients, found.coefficients))
    # The level follows the exposure prior, since albedo is not known; the rest is what the crop shows.
    assert float(after.mean() / wanted.mean()) == pytest.approx(1.0, abs=0.2)
    wanted, before, after = (values / values.mean() for values in (wanted, before, after))
    assert float((after - wanted).abs().mean()) < 0.35 * float((before - wanted).abs().mean())
    assert side * float(found.coefficients.lighting[0, 3].mean()) > 0.1, "the lamp's side"
    assert gap_of(found, decoder) < 0.35 * gap_of(face, decoder)


def test_dark_and_light_skin_are_told_apart_by_the_exposure(decoder):
    lighting = ambient(torch.full((1, 3), 0.6)) + lamps_to_sh(
        torch.tensor([[[0.0, 0.25, 1.0]]]), torch.full((1, 1, 3), 0.4 * torch.pi)
    )
    cheeks = decoder.model.region("cheeks")
    paints = []
    for skin in (-1.5, 1.5):
        truth, face = rendered_face(decoder, lighting, skin)
        found = solve_light_and_albedo(face, decoder)
        both = [decoder.model.albedo(c.albedo)[0, cheeks].mean() for c in (truth, found.coefficients)]
        assert float(both[1] / both[0]) == pytest.approx(1.0, abs=0.2)
        paints.append(float(both[1]))
    assert paints[0] < 0.7 * paints[1] or paints[1] < 0.7 * paints[0]


def test_shape_and_pose_stay_and_nothing_is_edited(decoder):
    _, face = rendered_face(decoder, ambient(torch.full((1, 3), 1.2)))
    copies = {name: tensor.clone() for name, tensor in face.coefficients.tensors().items()}
    found = solve_light_and_albedo(face, decoder).coefficients.tensors()
    for name in ("identity", "expression", "rotation", "translation_mm"):
        assert torch.equal(found[name], copies[name])
    assert not torch.equal(found["lighting"], copies["lighting"])
    assert all(torch.equal(copies[name], tensor) for name, tensor in face.coefficients.tensors().items())


def test_a_painted_box_does_not_pull(decoder):
    lighting = ambient(torch.full((1, 3), 0.9))
    _, face = rendered_face(decoder, lighting)
    clean = solve_light_and_albedo(face, decoder).coefficients
    crop = face.crop.clone()
    crop[:, :, 40:52, 30:44] = torch.tensor([0.1, 0.9, 0.2])[:, None, None]
    spoiled = solve_light_and_albedo(dataclasses.replace(face, crop=crop), decoder).coefficients
    assert float((shading(spoiled.lighting) - shading(clean.lighting)).abs().mean()) < 0.01


def test_a_crop_without_a_face_leaves_the_answer(decoder):
    _, face = rendered_face(decoder, ambient(torch.full((1, 3), 0.9)))
    for level in (0.0, 1.0):  # beyond the photo; over-exposed
        blank = dataclasses.replace(face, crop=torch.full_like(face.crop, level))
        assert solve_light_and_albedo(blank, decoder) is blank


def test_steps_never_raise_the_energy_and_the_prior_is_the_light_that_shows_albedo(decoder):
    settings = LightAlbedoSettings()
    stiffness, wanted = _light_prior(settings)
    likeliest = torch.linalg.solve(stiffness, wanted).view(1, 9, 3)
    towards = torch.nn.functional.normalize(torch.tensor([[0.0, 0.25, 1.0]], dtype=torch.float64), dim=1)
    torch.testing.assert_close(
        irradiance(towards, likeliest[0]) / torch.pi, torch.ones(1, 3, dtype=torch.float64), atol=0.01, rtol=0
    )
    _, face = rendered_face(decoder, ambient(torch.full((1, 3), 1.4)), skin=1.0)
    pixels = _pixels(face, decoder)
    light, coefficients = face.coefficients.lighting[0].double().flatten(), face.coefficients.albedo[0].double()
    gaps = []
    for _ in range(5):
        albedo = pixels.mean + pixels.albedo_basis @ coefficients
        gaps.append(float((pixels.target - albedo * (pixels.basis @ light.view(9, 3))).abs().mean()))
        light, coefficients = _gauss_newton_step(pixels, light, coefficients, settings)
    assert gaps[-1] < 0.3 * gaps[0]
    assert float(coefficients.abs().max()) <= settings.max_albedo_coefficient


def test_a_model_without_albedo_components_gets_light_alone(decoder, open_model):
    _, face = rendered_face(decoder, ambient(torch.full((1, 3), 1.3)))
    bare = FaceDecoder(open_model.subset(n_albedo=0), "face")
    answer = dataclasses.replace(face.coefficients, albedo=torch.zeros(1, 0))
    found = solve_light_and_albedo(dataclasses.replace(face, coefficients=answer), bare).coefficients
    assert found.albedo.shape == (1, 0)
    assert float(shading(found.lighting).mean()) > 0.85


def test_white_light_takes_no_colour(decoder):
    coloured = ambient(torch.tensor([[0.75, 0.55, 0.4]]))
    _, face = rendered_face(decoder, coloured)
    tinted = dataclasses.replace(face.coefficients, lighting=face.coefficients.lighting * torch.tensor([1.2, 1.0, 0.9]))
    face = dataclasses.replace(face, coefficients=tinted)
    free, white = (
        solve_light_and_albedo(face, decoder, LightAlbedoSettings(white_light=w)).coefficients for w in (False, True)
    )
    ratio = [float(c.lighting[0, 0, 0] / c.lighting[0, 0, 2]) for c in (free, white)]
    assert ratio[0] > 1.1 and ratio[1] == pytest.approx(1.0, abs=1e-6)
    found = dataclasses.replace(face, coefficients=white)
    assert gap_of(found, decoder) < 0.7 * gap_of(face, decoder), "albedo takes the colour"
