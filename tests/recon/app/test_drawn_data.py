"""What browsers get holds the model and the head."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

import bfm
from bfm.data import ModelData
from recon.app.binary_parts import decode_parts, encode_parts
from recon.app.drawn_data import MAX_COMPONENTS, head_parts, model_parts, photo_jpeg
from recon.color import decode_srgb
from recon.lighting import shade
from recon.reconstruction import Reconstruction


def test_parts_come_back_and_begin_at_multiples_of_four() -> None:
    arrays = {
        "odd": np.arange(5, dtype=np.uint8),
        "steps": np.array([-7, 3, 9], dtype=np.int16),
        "floats": np.array([[1.5, -2.5]], dtype=">f4"),
        "none": np.zeros(0, dtype=np.uint32),
    }
    block = encode_parts({"name": "caf\u00e9"}, arrays)
    facts, found = decode_parts(block)
    assert facts == {"name": "caf\u00e9"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array.reshape(-1))
        assert (found[name].__array_interface__["data"][0] - np.frombuffer(block, np.uint8).ctypes.data) % 4 == 0


def test_what_a_browser_cannot_read_is_refused() -> None:
    with pytest.raises(TypeError, match="'x' is float64"):
        encode_parts({}, {"x": np.zeros(2)})
    with pytest.raises(ValueError, match="JSON"):
        encode_parts({"x": float("nan")}, {})


@pytest.mark.parametrize("n_expression", [2, 0])
def test_vertices_of_the_parts_are_those_of_the_model(make_tiny: Callable[..., ModelData], n_expression: int) -> None:
    data = make_tiny(n_identity=MAX_COMPONENTS + 2, n_expression=n_expression)
    if n_expression:
        data.expression_basis[[3, 7], :, 1] = 0.0
    model = bfm.MorphableModel(data)
    facts, arrays = decode_parts(model_parts(model))
    weights, identity = np.array([0.3, -0.8])[:n_expression], np.linspace(-2.0, 2.0, MAX_COMPONENTS)
    vertices = np.array(data.mean_shape, dtype=np.float64)
    steps = arrays["identity_steps"].reshape(MAX_COMPONENTS, -1, 3)
    vertices += np.einsum("k,kvc,k->vc", identity, steps, arrays["identity_step_mm"].astype(np.float64))
    offsets = arrays["moved_mm"].reshape(-1, 3)
    for k, weight in enumerate(weights):
        rows = slice(arrays["moved_start"][k], arrays["moved_start"][k + 1])
        np.add.at(vertices, arrays["moved_vertex"][rows], weight * offsets[rows])
    full = torch.zeros(1, model.n_identity)
    full[0, :MAX_COMPONENTS] = torch.tensor(identity)
    expected = model.shape(full, torch.tensor(weights, dtype=torch.float32)[None])[0].numpy()
    np.testing.assert_allclose(vertices, expected, atol=2e-3)
    assert facts["components"] == MAX_COMPONENTS and len(facts["expressions"]) == n_expression
    assert len(arrays["moved_start"]) == n_expression + 1
    if n_expression:
        assert not np.isin([3, 7], arrays["moved_vertex"][arrays["moved_start"][1] :]).any()


def test_corners_split_at_seams(tiny_data: ModelData) -> None:
    _, arrays = decode_parts(model_parts(bfm.MorphableModel(tiny_data)))
    vertex, uv = arrays["corner_vertex"], arrays["corner_uv"].reshape(-1, 2)
    corners = arrays["corner_faces"].reshape(-1, 3)
    np.testing.assert_array_equal(vertex[corners], tiny_data.faces)
    np.testing.assert_array_equal(uv[corners], tiny_data.uv[tiny_data.uv_faces])


def test_a_head_stands_where_it_was_found(head: Reconstruction) -> None:
    facts, arrays = decode_parts(head_parts(head))
    neutral = torch.tensor(arrays["neutral_mm"].reshape(1, -1, 3))
    torch.testing.assert_close(neutral, head.model.shape(head.identity))
    rotation, translation = torch.tensor(facts["rotation"]).view(3, 3), torch.tensor(facts["translation_mm"])
    v_cam = neutral @ rotation.T + translation
    focal, principal = torch.tensor(facts["focal_px"]), torch.tensor(facts["principal_px"])
    v_px = principal + focal * v_cam[..., :2] * torch.tensor([1.0, -1.0]) / -v_cam[..., 2:]
    torch.testing.assert_close(v_px, head.camera.to_pixels(head.camera.to_camera(neutral)), atol=1e-2, rtol=0)
    assert facts["photo_size"] == [120, 150]
    codes = torch.tensor(arrays["albedo"].reshape(-1, 3) / 255.0, dtype=torch.float32)
    assert (decode_srgb(codes, head.model.albedo_space) - torch.tensor(head.albedo)).abs().max() < 0.006


def test_light_is_what_the_renderer_shades_with(head: Reconstruction) -> None:
    facts, _ = decode_parts(head_parts(head))
    c = np.array(facts["light"]).reshape(9, 3)
    n = np.array([[0.36, 0.48, 0.8], [-0.6, 0.0, 0.8]])
    x, y, z = n.T[:, :, None]
    # As head_view.js writes it.
    found = (
        0.2820948 * c[0]
        + 0.4886025 * (y * c[1] + z * c[2] + x * c[3])
        + 1.0925484 * (x * y * c[4] + y * z * c[5] + x * z * c[7])
        + 0.3153916 * (3.0 * z * z - 1.0) * c[6]
        + 0.5462742 * (x * x - y * y) * c[8]
    )
    expected = shade(torch.ones(1, 2, 3), torch.tensor(n, dtype=torch.float32)[None], head.lighting)[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_photo_keeps_its_shape(head: Reconstruction) -> None:
    assert Image.open(io.BytesIO(photo_jpeg(head))).size == (120, 150)
