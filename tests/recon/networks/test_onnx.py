"""The ONNX path gives what torch gives."""

import json

import onnx
import pytest
import torch
from network_parts import BLOCKS, intrinsics, pictures, tiny_regressor

from recon.networks.onnx_export import OnnxRegressor, compare_with_torch, export_onnx
from recon.networks.onnx_file import OnnxError


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("swin_tiny", {}),
        ("swin_tiny", {"camera": "weak_perspective", "white_light": True}),
        ("mobilenetv4_small_050", {"fam": False, "pool": "grid", "pool_channels": 8}),
        ("vit_b16", {}),
    ],
)
def test_outputs_equal_torch_for_any_batch(tmp_path, name, changes):
    network = tiny_regressor(name, **changes).eval()
    path = export_onnx(network, tmp_path / "net.onnx")
    again = OnnxRegressor(path, threads=1)
    assert again.blocks == BLOCKS and again.size == network.config.size
    assert (again.camera, again.white_light) == (network.config.camera, network.config.white_light)
    assert again(pictures(1), intrinsics(1)).camera_model == network.config.camera
    for count in (1, 3):
        with torch.no_grad():
            wanted = network(pictures(count), intrinsics(count)).tensors()
        found = again(pictures(count), intrinsics(count)).tensors()
        for key, tensor in wanted.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-4, atol=1e-4, msg=key)
    gap, seconds = compare_with_torch(network, path, repeats=2)
    assert gap < 1e-4 and seconds > 0.0


def test_bad_files_are_named(tmp_path):
    with pytest.raises(OnnxError, match="no ONNX file at"):
        OnnxRegressor(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(OnnxError, match="damaged or no ONNX file"):
        OnnxRegressor(tmp_path / "broken.onnx")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_onnx(tiny_regressor().eval(), tmp_path_factory.mktemp("onnx") / "net.onnx")


def forged(path, place, change):
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    change(model, facts)
    onnx.helper.set_model_props(model, facts)
    place.write_bytes(model.SerializeToString())
    return place


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, facts: facts.pop("blocks"), "makes no sense.*blocks"),
        (lambda model, facts: facts.update(blocks="{}"), "the face model is described by"),
        (lambda model, facts: facts.update(size="-3"), "a picture side of -3 px"),
        (lambda model, facts: facts.update(size="x"), "makes no sense"),
        (lambda model, facts: facts.update(camera="fisheye"), "makes no sense.*got 'fisheye'"),
        (lambda model, facts: facts.update(white_light="1"), "makes no sense.*white_light '1'"),
        (lambda model, facts: setattr(model.graph.output[0], "name", "lighting"), "damaged|other inputs and outputs"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(exported, tmp_path, change, message):
    with pytest.raises(OnnxError, match=rf"forged\.onnx.*({message})"):
        OnnxRegressor(forged(exported, tmp_path / "forged.onnx", change))


def test_outputs_that_the_description_does_not_promise_are_refused(exported, tmp_path):
    def change(model, facts):
        facts["blocks"] = json.dumps(json.loads(facts["blocks"]) | {"n_identity": 9})

    network = OnnxRegressor(forged(exported, tmp_path / "forged.onnx", change))
    with pytest.raises(OnnxError, match=r"forged\.onnx gives identity that is not \(1, 9\)"):
        network(pictures(1), intrinsics(1))


def test_files_beside_it_are_not_opened(exported, tmp_path):
    def change(model, facts):
        (tmp_path / "beside").write_bytes(bytes(1 << 20))
        weight = max(model.graph.initializer, key=lambda item: len(item.raw_data))
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="beside")

    with pytest.raises(OnnxError, match=r"forged\.onnx is damaged"):
        OnnxRegressor(forged(exported, tmp_path / "forged.onnx", change))


def test_files_from_before_camera_and_light_were_options_are_read(exported, tmp_path):
    def change(model, facts):
        del facts["camera"], facts["white_light"]

    network = OnnxRegressor(forged(exported, tmp_path / "old.onnx", change))
    assert (network.camera, network.white_light) == ("perspective", False)
