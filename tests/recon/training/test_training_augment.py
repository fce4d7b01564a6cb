"""Augmentation keeps labels exact."""

import dataclasses

import pytest
import torch
from training_parts import SIZE, sampled

from recon.decoder import FaceDecoder
from recon.training.augment import Augmentation, augment, reframe


@pytest.fixture(scope="module")
def batch(open_model):
    return sampled(open_model, 3)


def test_landmarks_and_intrinsics_move_together(batch, open_model):
    framed = reframe(batch, torch.tensor([0.8, 1.0, 0.9]), torch.tensor([[3.0, -2.0], [0.0, 5.0], [1.0, 1.0]]))
    faces = FaceDecoder(open_model).decode(framed.truth(), framed.intrinsics)
    torch.testing.assert_close(faces.landmarks68_px, framed.landmarks68_px, atol=5e-3, rtol=0.0)
    torch.testing.assert_close(faces.dense_px, framed.dense_px, atol=5e-3, rtol=0.0)


def test_pictures_and_maps_move_with_them(batch, open_model):
    shift = torch.tensor([[4.0, 0.0]]).expand(3, 2)
    framed = reframe(batch, torch.ones(3), shift)
    torch.testing.assert_close(framed.image[..., 4:], batch.image[..., :-4], atol=1e-4, rtol=0.0)
    assert torch.equal(framed.face_mask[..., 4:], batch.face_mask[..., :-4])
    shrunk = reframe(batch, torch.full((3,), 0.8), torch.zeros(3, 2))
    rendered = FaceDecoder(open_model).decode(shrunk.truth(), shrunk.intrinsics).render((SIZE, SIZE))
    both = rendered.covered & (shrunk.depth_mm > 0)
    # Of the neck, the old picture did not show as much as the shrunken one could.
    assert float(rendered.covered[shrunk.face_mask].float().mean()) > 0.97
    gap_mm = (rendered.depth_mm - shrunk.depth_mm).abs()[both]
    assert float(gap_mm.median()) < 3.0


def test_no_change_is_no_change(batch):
    same = reframe(batch, torch.ones(3), torch.zeros(3, 2))
    for name, tensor in batch.tensors().items():
        torch.testing.assert_close(same.tensors()[name], tensor, atol=2e-5, rtol=0.0, msg=name)
    none = Augmentation(1.0, 0.0, 0.0, 0.0, 0.0)
    torch.testing.assert_close(augment(batch, none, torch.Generator()).image, batch.image, atol=2e-5, rtol=0.0)


def test_the_same_generator_gives_the_same_and_nothing_is_edited(batch):
    before = {name: tensor.clone() for name, tensor in batch.tensors().items()}
    first, second = (augment(batch, Augmentation(), torch.Generator().manual_seed(4)) for _ in range(2))
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name
        assert torch.equal(before[name], batch.tensors()[name]), name
    assert not torch.equal(first.image, batch.image)
    third = augment(batch, Augmentation(), torch.Generator().manual_seed(5))
    assert not torch.equal(first.image, third.image)


def test_painted_boxes_are_not_face(batch):
    erased = augment(batch, Augmentation(1.0, 0.0, 0.0, 0.0, 1.0), torch.Generator().manual_seed(0))
    changed = (erased.image - batch.image).abs().amax(dim=1, keepdim=True) > 1e-3
    assert bool(changed.any())
    assert not bool((erased.face_mask & changed).any())


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"augmentation least_scale must lie in \[0.1, 1.0\], got 0.0"):
        Augmentation(least_scale=0.0)


def test_photos_without_labels_can_be_augmented(batch):
    photo = dataclasses.replace(
        batch, dense_px=None, dense_obj=None, rotation=None, face_mask=None, depth_mm=None, normals=None
    )
    assert augment(photo, Augmentation(), torch.Generator().manual_seed(1)).face_mask is None
