"""People, key frames, scene cuts, single frames, light, and what lies on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import bfm
from recon.detector_names import OPEN
from recon.inference.landmark_observation import packaged_error_model
from recon.lighting import ambient
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, rotation_angle
from recon.tracking.estimate_file import EstimateFile
from recon.tracking.follow import sharpness
from recon.tracking.identify import common_focal_px
from recon.tracking.key_frames import key_frames
from recon.tracking.known_person import FrameFitter, KnownPerson, model_of_person
from recon.tracking.light import FrameLight, smoothed_light
from recon.tracking.motion import N_POSE, FrameEstimate
from recon.tracking.people import people_of
from recon.tracking.scene_cuts import is_cut, signature
from recon.tracking.seen import SeenFile, SeenFrame, face_dtype, frame_record

KE, KD = 4, 8
FACES = face_dtype(KE, KD)


def faces_of(tracks: list[tuple[int, range, np.ndarray, float]], seed: int = 0) -> np.ndarray:
    """Records of tracks given by number, frames, direction of the embedding and size, in the order of frames."""
    rng = np.random.default_rng(seed)
    rows = []
    for track, frames, looks, size in tracks:
        for frame in frames:
            record = np.zeros((), FACES)
            record["track"], record["frame"], record["box"] = track, frame, [0.0, 0.0, size, size]
            record["lifted"], record["mean_sigma"], record["sharpness"] = frame % 2 == 0, 1.0, 0.2
            seen = looks + 0.3 * rng.normal(size=KD)
            record["embedding"] = seen / np.linalg.norm(seen)
            rows.append(record)
    return np.array(sorted(rows, key=lambda row: (row["frame"], row["track"])), FACES)


def test_tracks_of_one_head_are_one_person() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, KD)) * 1.5
    faces = faces_of(
        [
            (0, range(0, 10), first, 50.0),
            (1, range(5, 20), second, 80.0),
            (2, range(12, 30), first, 50.0),
            (3, range(31, 32), first, 9.0),
        ]
    )
    people = people_of(faces)
    assert [sorted(set(faces["track"][own])) for own in people] == [[1], [0, 2]]  # 3 was never looked at
    assert (np.diff(faces["frame"][people[1]]) > 0).all()


def test_nobody_is_in_one_frame_twice() -> None:
    twin = np.full(KD, 1.0)
    faces = faces_of([(0, range(0, 10), twin, 50.0), (1, range(9, 20), twin, 50.0)])
    assert len(people_of(faces)) == 2 and len(people_of(faces[:0])) == 0


def test_key_frames_differ() -> None:
    faces = faces_of([(0, range(0, 80), np.ones(KD), 50.0)])
    faces["rotvec"][:, 1] = np.linspace(-0.8, 0.8, 80)
    faces["expression"][60, 0] = 1.0
    faces["sharpness"][0] = 0.01  # the farthest turn, but blurred
    faces["mean_sigma"][78] = 9.0
    chosen = key_frames(faces, 4)
    assert faces["lifted"][chosen].all() and len(set(chosen.tolist())) == 4
    assert abs(faces["rotvec"][chosen[0], 1]) < 0.02
    assert {2, 60, 76} == set(chosen[1:].tolist())
    assert len(key_frames(faces[10:13], 8)) == 2
    with pytest.raises(ValueError, match="looked at by"):
        key_frames(faces[1:2], 4)


def picture(seed: int, size: tuple[int, int] = (90, 160)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (5, 8, 3)).astype(np.uint8)
    return coarse.repeat(size[0] // 5, axis=0).repeat(size[1] // 8, axis=1)


def test_cuts_and_what_is_none() -> None:
    first, second = picture(0), picture(1)
    assert is_cut(signature(first), signature(second))
    assert is_cut(signature(first), signature(np.zeros_like(first)))
    assert not is_cut(signature(first), signature(first))
    panned = np.roll(first, 8, axis=1)
    assert not is_cut(signature(first), signature(panned))
    brighter = (0.8 * first + 30).astype(np.uint8)
    assert not is_cut(signature((0.8 * first).astype(np.uint8)), signature(brighter))
    assert signature(first[:7, :9]).shape == (9, 16, 3)  # smaller than the cells


def test_blur_is_less_sharp() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (80, 80, 3), np.uint8)
    soft = np.asarray(
        torch.nn.functional.avg_pool2d(torch.from_numpy(sharp).permute(2, 0, 1)[None].float(), 9, 1, 4)[0].permute(
            1, 2, 0
        )
    ).astype(np.uint8)
    box = np.array([5.0, 4.0, 70.0, 75.0])
    assert sharpness(sharp, box) > 2.0 * sharpness(soft, box) > 0.0
    assert sharpness(sharp, box + 500.0) == 0.0


def test_frames_on_disk(tmp_path: Path) -> None:
    frames = [
        SeenFrame(
            frame_record(index=3 * k, time_s=0.1 * k, n_faces=k % 3),
            faces_of([(t, range(k, k + 1), np.ones(KD), 9.0) for t in range(k % 3)]),
        )
        for k in range(5)
    ]
    file = SeenFile(tmp_path / "seen", FACES)
    for frame in frames:
        file.append(frame)
    with open(tmp_path / "seen" / "faces.bin", "ab") as raw:  # a frame that was cut off
        raw.write(frames[2].faces.tobytes() + b"cut")
    with open(tmp_path / "seen" / "frames.bin", "ab") as raw:
        raw.write(b"cut")
    again = SeenFile(tmp_path / "seen", FACES)
    assert len(again) == 5
    again.append(frames[1])
    for frame, found in zip([*frames, frames[1]], again, strict=True):
        assert found.record == frame.record
        assert found.faces.tobytes() == frame.faces.tobytes()


def test_estimates_on_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    size = N_POSE + KE
    root = rng.normal(size=(size, size))
    prior = np.concatenate([np.zeros(N_POSE), rng.uniform(1.0, 2.0, KE)])
    estimate = FrameEstimate(
        0.5,
        euler_to_matrix(torch.tensor([0.1, 0.2, 0.3])).double().numpy(),
        rng.normal(size=3),
        rng.uniform(size=KE),
        root @ root.T + np.diag(prior),
        root @ root.T,
    )
    file = EstimateFile(tmp_path / "estimates.bin", KE)
    for _ in range(3):
        file.append(estimate)
    with open(tmp_path / "estimates.bin", "ab") as raw:
        raw.write(b"cut")
    file = EstimateFile(tmp_path / "estimates.bin", KE)
    assert len(file) == 3 and len(file[1:]) == 2 and len(file[0:3][1:2]) == 1
    for found in (file[0], file[1:][1]):
        np.testing.assert_array_equal(found.rotation, estimate.rotation)
        np.testing.assert_array_equal(found.expression, estimate.expression)
        np.testing.assert_allclose(found.evidence, estimate.evidence, rtol=1e-6)
        np.testing.assert_allclose(found.precision, estimate.precision, rtol=1e-5)
    file.keep(1)
    assert len(file) == 1
    with pytest.raises(ValueError, match="holds 1 estimates, 2"):
        file.keep(2)


@pytest.fixture(scope="module")
def person() -> KnownPerson:
    generator = torch.Generator().manual_seed(3)
    return KnownPerson(
        0.7 * torch.randn(1, 80, generator=generator),
        0.5 * torch.randn(1, 80, generator=generator),
        500.0,
        (161.0, 119.0),
    )


def test_the_model_of_a_person(open_model: bfm.MorphableModel, person: KnownPerson) -> None:
    own = model_of_person(open_model, person)
    assert (own.n_identity, own.n_albedo, own.n_expression) == (0, 0, 52)
    weights = torch.rand(2, 52, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own.shape(None, weights), open_model.shape(person.identity, weights), atol=1e-3, rtol=0)
    torch.testing.assert_close(own.albedo(), open_model.albedo(person.albedo))


def test_single_frames_of_a_known_person(open_model: bfm.MorphableModel, person: KnownPerson) -> None:
    """Exact points give the pose; the stated precision is that of the normal equations, and grows with the points' precision."""
    own = model_of_person(open_model, person)
    fitter = FrameFitter(own, person)
    rotation, translation_mm = euler_to_matrix(torch.tensor([[0.1, 0.4, -0.1]])), torch.tensor([[20.0, 10.0, -620.0]])
    weights = torch.zeros(1, 52)
    weights[0, open_model.expression_names.index("jawOpen")] = 0.4
    camera = person.camera(rotation, translation_mm)
    points = camera.to_pixels(camera.to_camera(own.landmarks(own.shape(None, weights), "478")))[0].double().numpy()
    errors = packaged_error_model(OPEN, "478")
    sharp, soft = (errors.observe(points - 0.0, np.full(478, sigma), 0.0) for sigma in (0.2, 0.8))
    found = fitter(0.25, sharp)
    angle_deg = np.rad2deg(float(rotation_angle(torch.from_numpy(found.estimate.rotation), rotation[0].double())))
    assert found.estimate.time_s == 0.25 and angle_deg < 1.0 and found.error < 0.02
    assert abs(found.estimate.translation_mm[:2] - [20.0, 10.0]).max() < 2.0
    jaw = found.estimate.expression[open_model.expression_names.index("jawOpen")]
    assert 0.2 < jaw < 0.5 and ((found.estimate.expression >= 0.0) & (found.estimate.expression <= 1.0)).all()
    ratio = np.diagonal(found.estimate.evidence)[:6] / np.diagonal(fitter(0.0, soft).estimate.evidence)[:6]
    assert (ratio > 4.0).all()
    shut = fitter(0.0, soft, jaw_prior_scale=0.08).estimate.expression[open_model.expression_names.index("jawOpen")]
    assert shut < fitter(0.0, soft).estimate.expression[open_model.expression_names.index("jawOpen")] - 0.05
    moved = points + 40.0 * np.sin(np.arange(478))[:, None]
    assert fitter(0.0, errors.observe(moved, np.full(478, 0.5), 0.0)).error > 0.06


def test_light_of_a_rendered_frame(open_model: bfm.MorphableModel, person: KnownPerson) -> None:
    own = model_of_person(open_model, person)
    camera = person.camera(euler_to_matrix(torch.tensor([[0.1, 0.3, 0.0]])), torch.tensor([[0.0, 30.0, -620.0]]))
    light = ambient(torch.tensor([[0.9, 0.7, 0.6]]))
    light[0, 3] = torch.tensor([0.4, 0.3, 0.2])
    with torch.no_grad():
        mesh = Mesh.of(own.shape(None, torch.zeros(1, 52)), Topology.of(own.faces, own.n_vertices), own.albedo())
        image = render(mesh, camera, light, (240, 320)).image
    from recon.color import encode_srgb

    pixels = (255.0 * encode_srgb(image[0].permute(1, 2, 0), own.albedo_space)).round().clamp(0, 255).byte().numpy()
    found = FrameLight(own, person)(
        pixels, camera.rotation[0].double().numpy(), camera.translation_mm[0].double().numpy(), np.zeros(52)
    )
    np.testing.assert_allclose(found, light[0].numpy(), atol=0.16)


def test_light_without_its_noise() -> None:
    rng = np.random.default_rng(0)
    times_s = 0.04 * np.arange(200)
    truth = np.stack([np.sin(times_s), 0.0 * times_s + 2.0], axis=1)
    noisy = truth + 0.1 * rng.normal(size=truth.shape)
    error = np.abs(noisy - truth).mean(axis=0)
    two_pass, causal = (smoothed_light(times_s, noisy, causal) for causal in (False, True))
    assert (np.abs(two_pass - truth).mean(axis=0) < 0.6 * error).all()
    assert (np.abs(two_pass - truth).mean(axis=0) < np.abs(causal - truth).mean(axis=0)).all()
    np.testing.assert_array_equal(smoothed_light(times_s[:50], noisy[:50], True)[0], noisy[0])
    np.testing.assert_array_equal(smoothed_light(times_s[:3], noisy[:3]), noisy[:3])


def test_one_focal_length_of_all_views() -> None:
    nan = float("nan")
    nothing = common_focal_px((900.0, 800.0), (nan, nan), 640.0)
    assert nothing == pytest.approx(640.0)  # what people's lenses are like
    sure, unsure = (common_focal_px((1000.0, 1000.0), (s, s), 640.0) for s in (0.01, 3.0))
    assert 640.0 < unsure < sure < 1000.0
    uneven = common_focal_px((1000.0, 500.0), (0.05, 1.0), 640.0)
    assert uneven == pytest.approx(sure, rel=0.02)
