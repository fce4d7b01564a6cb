"""All loss terms together: which are computed, and that the truth costs nothing."""

import dataclasses

import pytest
import torch
from training_parts import DIRECT, SIZE, sampled

from losses.total import LossWeights
from recon.decoder import FaceDecoder, PointBasis
from recon.networks.discriminator import ShapeDiscriminator
from recon.segmentation.residual import ResidualSegmenter
from recon.training.batch import TrainingBatch
from recon.training.terms import LossNetworks, loss_terms
from recon.training.validation import validate_batch

EVERYTHING = LossWeights(**dict.fromkeys([field.name for field in dataclasses.fields(LossWeights)], 1.0))
GEOMETRY = ("landmark", "dense", "dense_mm", "shape", "depth", "normals", "rotation", "translation", "identity",
            "expression", "albedo", "lighting")  # fmt: skip


@pytest.fixture(scope="module")
def batch(open_model):
    return sampled(open_model)


@pytest.fixture(scope="module")
def decoder(open_model):
    return FaceDecoder(open_model)


class _Colours:
    """Stands in for face recognition: the mean colour of each quarter."""

    def __call__(self, pictures, landmarks68_px):
        return torch.nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1) - 0.5


def loss_networks():
    rows = torch.arange(0, 9000, 100)
    torch.manual_seed(0)
    return LossNetworks(_Colours(), ShapeDiscriminator(torch.zeros(90, 3), 50.0, 16), rows, ResidualSegmenter())


def test_the_truth_costs_nothing_where_it_must(batch, decoder):
    faces = decoder.decode(batch.truth(), batch.intrinsics)
    terms = loss_terms(faces, batch, EVERYTHING, loss_networks())
    assert set(terms) == {field.name for field in dataclasses.fields(LossWeights)}
    for name in GEOMETRY:
        assert float(terms[name]) < 0.02, name
    # Clean faces are rendered by the same renderer; only the eyes' whites and rounding to sRGB differ.
    assert float(terms["photometric"]) < 0.05
    assert float(terms["perceptual"]) < 0.02


def test_every_term_sees_a_wrong_face_and_has_a_gradient(batch, decoder):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in batch.truth().tensors().items()}
    wrong = dataclasses.replace(
        batch.truth(),
        identity=leaves["identity"] + 0.7,
        expression=leaves["expression"] * 0.5 + 0.1,
        albedo=leaves["albedo"] - 0.5,
        translation_mm=leaves["translation_mm"] + torch.tensor([5.0, -4.0, -20.0]),
        rotation=leaves["rotation"][[1, 0]],
        lighting=leaves["lighting"] * torch.tensor([1.3, 1.0, 0.8]),
    )
    terms = loss_terms(decoder.decode(wrong, batch.intrinsics), batch, EVERYTHING, loss_networks())
    for name, term in terms.items():
        assert bool(torch.isfinite(term)), name
        if name != "adversarial":
            assert float(term.detach()) > 1e-3, name
        grads = torch.autograd.grad(term, list(leaves.values()), retain_graph=True, allow_unused=True)
        assert any(
            grad is not None and bool(torch.isfinite(grad).all()) and float(grad.abs().sum()) > 0 for grad in grads
        )


def test_only_what_has_weight_and_labels_is_computed(batch, decoder):
    truth = batch.truth()
    few = loss_terms(decoder.decode(truth, batch.intrinsics), batch, DIRECT, LossNetworks())
    assert set(few) == {"landmark", "dense", "rotation", "translation", "identity", "expression", "albedo", "lighting"}
    photo = TrainingBatch(batch.image, batch.intrinsics, batch.landmarks68_px)
    unlabelled = loss_terms(decoder.decode(truth, batch.intrinsics), photo, EVERYTHING, loss_networks())
    assert set(unlabelled) == {"landmark", "photometric", "perceptual", "adversarial", "prior", "white_light"}


def test_pixel_losses_do_not_depend_on_the_crops_size(batch, decoder):
    """The same face in a crop twice as large has the same landmark loss."""
    moved = dataclasses.replace(batch.truth(), translation_mm=batch.translation_mm + torch.tensor([3.0, 0.0, 0.0]))
    doubled = batch.intrinsics.clone()
    doubled[:, :2] *= 2.0
    large = TrainingBatch(
        torch.nn.functional.interpolate(batch.image, scale_factor=2.0), doubled, 2.0 * batch.landmarks68_px
    )
    only = dataclasses.replace(DIRECT, dense=0.0)
    values = [
        float(loss_terms(decoder.decode(moved, b.intrinsics), b, only, LossNetworks())["landmark"])
        for b in (batch, large)
    ]
    assert values[0] > 0.1
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_landmarks_from_the_point_basis_are_the_models(open_model, batch):
    for name in ("68", "478"):
        basis = PointBasis(open_model, name)
        slow = open_model.landmarks(open_model.shape(batch.identity, batch.expression), name)
        torch.testing.assert_close(basis(batch.identity, batch.expression), slow, atol=2e-3, rtol=0.0)


def test_a_face_alone_is_rendered_like_the_whole_head_there(open_model, batch, decoder):
    part = FaceDecoder(open_model, "face")
    whole = decoder.decode(batch.truth(), batch.intrinsics).render(batch.size)
    face = part.decode(batch.truth(), batch.intrinsics).render(batch.size)
    assert int(face.covered.sum()) < int(whole.covered.sum())
    both = face.covered & whole.covered & batch.face_mask
    assert float((face.depth_mm - whole.depth_mm).abs()[both].median()) < 0.01


def test_hidden_skin_and_missing_depth_do_not_count(batch, decoder):
    weights = dataclasses.replace(DIRECT, photometric=1.0, depth=1.0)
    faces = decoder.decode(batch.truth(), batch.intrinsics)
    plain = loss_terms(faces, batch, weights, loss_networks())
    shown = batch.face_mask.clone()
    shown[..., : SIZE // 2] = False
    depth_mm = batch.depth_mm.clone()
    depth_mm[..., : SIZE // 2, :] = 0.0
    # Nothing that the mask hides may change the term: paint over it.
    spoiled = torch.where(shown, batch.image, 1.0 - batch.image)
    hidden = dataclasses.replace(batch, image=spoiled, face_mask=shown, depth_mm=depth_mm)
    terms = loss_terms(faces, hidden, weights, loss_networks())
    assert float(terms["photometric"]) < 2.0 * float(plain["photometric"]) + 0.02
    assert float(terms["depth"]) < 0.02


def test_points_behind_the_camera_are_projected_as_if_just_before_it(batch, decoder):
    behind = dataclasses.replace(batch.truth(), translation_mm=torch.tensor([[0.0, 0.0, 300.0]]).expand(2, 3))
    faces = decoder.decode(behind, batch.intrinsics)
    v_cam = faces.camera.to_camera(faces.dense_obj)
    v_cam[..., 2] = -20.0
    torch.testing.assert_close(faces.dense_px, faces.camera.to_pixels(v_cam))


def test_the_truth_as_a_weak_perspective_head_has_it_costs_little(batch, decoder):
    """Labels are turned to the ray on which the head is seen; size and perspective are what is left."""
    off_axis = dataclasses.replace(batch, translation_mm=batch.translation_mm + torch.tensor([250.0, 0.0, 0.0]))
    found = off_axis.truth().for_camera("weak_perspective")
    weights = dataclasses.replace(DIRECT, normals=0.0, landmark=0.0, dense=0.0)
    terms = loss_terms(decoder.decode(found, batch.intrinsics), off_axis, weights, LossNetworks())
    for name in ("rotation", "lighting", "translation", "identity"):
        assert float(terms[name]) < 1e-4, name
    unturned = dataclasses.replace(found, rotation=off_axis.rotation, lighting=off_axis.lighting)
    wrong = loss_terms(decoder.decode(unturned, batch.intrinsics), off_axis, weights, LossNetworks())
    for name in ("rotation", "lighting"):
        assert float(wrong[name]) > 0.02, name
    errors = validate_batch(decoder, found, dataclasses.replace(off_axis, depth_mm=None))
    assert float(errors["geodesic_deg"].max()) < 0.1


def test_normals_turn_with_the_head_and_photos_without_a_place_stay(batch):
    weak = batch.for_weak_perspective()
    turn = weak.rotation @ batch.rotation.mT
    torch.testing.assert_close(weak.normals, torch.einsum("bij,bjhw->bihw", turn, batch.normals), atol=1e-5, rtol=0.0)
    labelled = dataclasses.replace(batch, translation_mm=None)
    assert labelled.for_weak_perspective() is labelled
