"""Pictures and labels of the sampler, held against independent ways to the same numbers."""

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from recon.color import encode_srgb
from recon.detection.align import align
from recon.render import Mesh, render
from recon.rotation import rotation_angle
from recon.synthesis import SEGMENT_NAMES, FaceBatch, FaceSampler, SynthesisConfig, SynthesisConfigError


def test_a_sample_is_the_same_in_any_batch(everything, many):
    alone = everything[7]
    together = many.select(7)
    for name, tensor in alone.tensors().items():
        other = getattr(together, name)
        if name == "image":
            # a product of another batch size rounds differently, and JPEG and edges turn that into a step here and there
            assert (tensor - other).abs().mean() < 1e-3
        elif tensor.dtype == torch.bool or not tensor.is_floating_point():
            assert (tensor != other).float().mean() < 2e-3, name
        else:
            assert (tensor - other).abs().median() < 1e-4, name


def test_indices_and_seeds_change_the_picture(clean, head_model):
    first, second = clean[0], clean[1]
    assert (first.identity - second.identity).abs().max() > 0.1
    other = FaceSampler(head_model, clean.config, seed=4, size=clean.size)[0]
    assert (first.identity - other.identity).abs().max() > 0.1


def test_the_clean_picture_is_the_renderers(clean, head_model):
    batch = clean.batch([2, 5])
    mesh = Mesh.of(
        head_model.shape(batch.identity, batch.expression), head_model.faces, head_model.albedo(batch.albedo)
    )
    gray = torch.full((2, 3, 1, 1), 0.21404114)  # sRGB 0.5 in linear light
    expected = render(mesh, batch.camera, batch.lighting, batch.size, gray)
    shown = encode_srgb(expected.image.clamp_min(0.0), "linear")
    assert (batch.image - shown).abs().mean() < 1e-4
    assert torch.allclose(batch.depth_mm, expected.depth_mm, atol=1e-2)
    assert torch.equal(batch.mask, expected.covered)


def test_a_coarse_mesh_changes_pictures_little_and_labels_not(everything, many, head_model):
    coarse = FaceSampler(
        head_model, dataclasses.replace(everything.config, mesh="coarse"), seed=3, size=everything.size
    )
    assert coarse.model.n_vertices < 0.31 * head_model.n_vertices
    batch = coarse.batch(range(12))
    for name in ("identity", "expression", "rotation", "translation_mm", "intrinsics"):
        assert torch.equal(getattr(batch, name), getattr(many, name)), name
    for name in ("68", "478", "520"):
        torch.testing.assert_close(
            getattr(batch, f"landmarks{name}_px"), getattr(many, f"landmarks{name}_px"), atol=2e-3, rtol=0.0
        )
    seen = (batch.mask & many.mask)[:, 0]
    assert seen.float().mean() > 0.1 and (batch.mask != many.mask).float().mean() < 0.01
    depth = (batch.depth_mm - many.depth_mm)[:, 0][seen].abs()
    assert depth.median() < 0.1 and depth.quantile(0.95) < 1.0
    assert 0.0 < (batch.image - many.image).abs().mean() < 3.0 / 255.0


def test_landmarks_project_onto_their_pixels(many):
    for name in ("68", "478", "520"):
        cam = getattr(many, f"landmarks{name}_cam").double() * torch.tensor([1.0, -1.0, -1.0])
        rays = cam @ many.intrinsics.double().transpose(1, 2)
        gap = rays[..., :2] / rays[..., 2:] - getattr(many, f"landmarks{name}_px")
        assert gap.abs().max() < 0.05


def test_depth_agrees_with_cast_rays(everything, many, head_model):
    vertices = many.camera.to_camera(everything.scene(range(12)).v_obj).double().numpy()
    rng = np.random.default_rng(0)
    checked = 0
    for k in (0, 3, 8):
        depth = many.depth_mm[k, 0].numpy()
        near = np.stack([np.roll(depth, shift, axis) for axis in (0, 1) for shift in (-1, 1)])
        flat = (near > 0).all(axis=0) & (depth > 0) & (np.abs(near - depth).max(axis=0) < 3.0)
        flat[[0, -1]] = flat[:, [0, -1]] = False
        rows, columns = (x[rng.choice(int(flat.sum()), 120, replace=False)] for x in np.nonzero(flat))
        matrix = many.intrinsics[k].double().numpy()
        x, y = (columns + 0.5 - matrix[0, 2]) / matrix[0, 0], -(rows + 0.5 - matrix[1, 2]) / matrix[1, 1]
        rays = np.stack([x, y, -np.ones_like(x)], axis=1)
        mesh = trimesh.Trimesh(vertices[k], head_model.faces.numpy(), process=False)
        places, which, _ = mesh.ray.intersects_location(np.zeros_like(rays), rays, multiple_hits=False)
        checked += len(which)
        assert np.abs(-places[:, 2] - depth[rows[which], columns[which]]).max() < 0.05
    assert checked > 300


def test_pose_is_that_of_the_vertices(everything, many):
    scene = everything.scene(range(12))
    a, b = scene.v_obj.double(), scene.camera.to_camera(scene.v_obj).double()
    centred = (a - a.mean(1, keepdim=True)).transpose(1, 2) @ (b - b.mean(1, keepdim=True))
    u, _, vt = torch.linalg.svd(centred)
    found = (u @ vt).transpose(1, 2)
    assert torch.rad2deg(rotation_angle(found, many.rotation.double())).max() < 0.01
    yaw, pitch, roll = many.angles_rad[0]
    assert -torch.pi / 2 <= yaw <= torch.pi / 2


def test_aligned_framing_is_that_of_photos(head_model):
    config = SynthesisConfig.clean(scale_jitter=0.0, shift_jitter=0.0, yaw_deg=40.0)
    batch = FaceSampler(head_model, config, size=(224, 224)).batch(range(4))
    for k in range(4):
        marks = batch.landmarks68_px[k].double().numpy()
        points5 = np.stack([marks[[36, 39]].mean(0), marks[[42, 45]].mean(0), marks[30], marks[48], marks[54]])
        found = align(points5)
        assert found.scale == pytest.approx(1.0, abs=1e-3)
        assert np.allclose(found.crop_points(points5), points5, atol=0.05)


def test_upright_framing_removes_the_roll(head_model):
    config = SynthesisConfig.clean(upright=True, yaw_deg=20.0, pitch_deg=10.0, roll_deg=50.0)
    batch = FaceSampler(head_model, config).batch(range(6))
    eyes = batch.landmarks68_px[:, 42:48].mean(1) - batch.landmarks68_px[:, 36:42].mean(1)
    assert torch.rad2deg(torch.atan2(eyes[:, 1], eyes[:, 0])).abs().max() < 15.0
    upright_not = FaceSampler(head_model, dataclasses.replace(config, upright=False)).batch(range(6))
    assert upright_not.angles_rad[:, 2].abs().max() > batch.angles_rad[:, 2].abs().max()


def test_free_framing_keeps_the_principal_point(head_model):
    config = SynthesisConfig.clean(framing="free", field_of_view_deg=60.0)
    batch = FaceSampler(head_model, config, size=(48, 64)).batch(range(3))
    assert torch.allclose(batch.intrinsics[:, :2, 2], torch.tensor([32.0, 24.0]))
    assert torch.allclose(batch.intrinsics[:, 0, 0], torch.tensor(55.4256))


def test_uniform_poses_come_in_steps_within_their_limits(head_model):
    config = SynthesisConfig.clean(pose="uniform", framing="free", yaw_deg=60.0, pitch_deg=30.0, roll_deg=9.0)
    batch = FaceSampler(head_model, config, size=(16, 16)).batch(range(40))
    degrees = torch.rad2deg(batch.angles_rad)
    assert (degrees / 3.0 - (degrees / 3.0).round()).abs().max() < 1e-3
    assert (degrees.abs().amax(0) <= torch.tensor([60.0, 30.0, 9.0]) + 1e-3).all()
    assert (degrees.abs().amax(0) > torch.tensor([40.0, 20.0, 5.0])).all()


def test_masks_agree_with_the_segmentation(many):
    segments = [SEGMENT_NAMES[k] for k in torch.unique(many.segmentation).tolist()]
    assert {"face", "eyes", "lips", "hair", "clothes"} <= set(segments)
    head = SEGMENT_NAMES.index("neck")
    seen = (many.segmentation > 0) & (many.segmentation <= head)
    assert torch.equal(seen, many.mask[:, 0])
    assert not (many.face_mask & ~many.mask).any()
    assert ((many.depth_mm > 0) | ~many.mask).all()
    assert (many.scene_depth_mm[many.mask] == many.depth_mm[many.mask]).all()
    hidden = (many.depth_mm > 0) & ~many.mask
    assert hidden.any()
    assert (many.scene_depth_mm[hidden] < many.depth_mm[hidden]).all()
    lengths = many.normals.norm(dim=1, keepdim=True)
    assert torch.allclose(lengths[many.depth_mm > 0], torch.ones(1), atol=1e-4)
    assert (lengths[many.depth_mm == 0] == 0).all()


def test_hidden_landmarks_are_called_hidden(head_model):
    config = SynthesisConfig.clean(yaw_deg=80.0, pitch_deg=5.0, roll_deg=5.0, pose="uniform")
    batch = FaceSampler(head_model, config, size=(96, 96)).batch(range(60))
    yaw = batch.angles_rad[:, 0]
    turned = batch.select(torch.nonzero(yaw > 0.8)[:, 0])
    # turned to the viewer's right, the end of the jaw on the viewer's right goes out of sight
    assert len(turned) > 2
    assert turned.landmarks68_visible[:, 36].float().mean() > 0.9
    assert turned.landmarks68_visible[:, 15].float().mean() < 0.2
    frontal = batch.select(torch.nonzero(yaw.abs() < 0.2)[:, 0])
    assert frontal.landmarks68_visible[:, 27:31].all()


def test_everything_on_is_in_range(many):
    assert many.image.dtype == torch.float32
    assert 0.0 <= many.image.min() and many.image.max() <= 1.0
    for name, tensor in many.tensors().items():
        if tensor.is_floating_point():
            assert torch.isfinite(tensor).all(), name
    assert (many.image.std(dim=(1, 2, 3)) > 0.03).all()


def test_each_effect_changes_the_picture(head_model):
    plain = SynthesisConfig.clean(yaw_deg=30.0)
    base = FaceSampler(head_model, plain, size=(64, 64)).batch(range(3))
    for name in ("shadows", "ambient_occlusion", "specular", "subsurface", "skin_detail", "hair", "glasses", "jpeg"):
        changed = FaceSampler(head_model, dataclasses.replace(plain, **{name: 1.0}), size=(64, 64)).batch(range(3))
        assert (changed.image - base.image).abs().mean() > 1e-4, name
        assert torch.equal(changed.identity, base.identity), name
        assert torch.allclose(changed.depth_mm, base.depth_mm), name


def test_identities_repeat(head_model):
    config = SynthesisConfig.clean(identities=3)
    batch = FaceSampler(head_model, config, size=(16, 16)).batch([1, 4, 5])
    assert batch.identity_number.tolist() == [1, 1, 2]
    assert torch.equal(batch.identity[0], batch.identity[1])
    assert torch.equal(batch.albedo[0], batch.albedo[1])
    assert not torch.equal(batch.expression[0], batch.expression[1])
    assert not torch.equal(batch.identity[0], batch.identity[2])


def test_a_person_has_looks_and_stays_the_same(open_model):
    config = SynthesisConfig(identities=2, looks=2)
    sampler, plain = (
        FaceSampler(open_model, changed, size=(32, 32)) for changed in (config, dataclasses.replace(config, looks=1))
    )
    one, other, again = (sampler.scene([index]) for index in (1, 3, 5))
    same = plain.scene([3])
    for scene in (other, again):
        assert torch.equal(scene.people.identity, one.people.identity)
        assert torch.equal(scene.brows.thickness_mm, one.brows.thickness_mm)
        assert torch.equal(scene.hairstyles.colour, one.hairstyles.colour)
    assert torch.equal(again.hairstyles.fringe, one.hairstyles.fringe)
    assert torch.equal(same.hairstyles.fringe, one.hairstyles.fringe)
    assert not torch.equal(other.hairstyles.fringe, one.hairstyles.fringe)
    assert not torch.equal(other.albedo, one.albedo)
    each = FaceSampler(open_model, dataclasses.replace(config, looks=0), size=(32, 32)).scene([1, 3, 5])
    assert len(set(each.hairstyles.fringe.tolist())) == 3


def test_batches_can_be_cut_joined_and_moved(many):
    pair = FaceBatch.cat([many.select(3), many.select([0, 5])])
    assert len(pair) == 3
    assert torch.equal(pair.image[0], many.image[3])
    assert torch.equal(pair.rotation[2], many.rotation[5])
    assert pair.to("cpu").image.device.type == "cpu"
    with pytest.raises(ValueError, match="at least one batch"):
        FaceBatch.cat([])


def test_impossible_samplers_are_refused(head_model, tiny_data):
    from bfm.model import MorphableModel

    with pytest.raises(SynthesisConfigError, match="no landmark set '478'"):
        FaceSampler(MorphableModel(tiny_data))
    with pytest.raises(SynthesisConfigError, match="at least 16 px"):
        FaceSampler(head_model, size=(8, 224))
    with pytest.raises(SynthesisConfigError, match="seed must be 0 or more"):
        FaceSampler(head_model, seed=-1)
    with pytest.raises(ValueError, match="at least one index"):
        FaceSampler(head_model, SynthesisConfig.clean()).batch([])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_the_same_faces(everything, many, head_model):
    there = FaceSampler(head_model, everything.config, 3, everything.size, "cuda").batch(range(12)).to("cpu")
    assert torch.allclose(there.landmarks68_px, many.landmarks68_px, atol=1e-2)
    assert (there.image - many.image).abs().mean() < 5e-3
