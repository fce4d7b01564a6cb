"""ArcFace: weights from both published forms, and differentiable crops."""

import os
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from recon.networks.arcface import CROP_PX, TEMPLATE_PX, ArcFace, IResNet, WeightsMissing, load_iresnet


def random_network(name="iresnet18", width=8):
    torch.manual_seed(0)
    network = IResNet(name, embedding=32, width=width)
    for module in network.modules():  # as if trained: every number differs
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def crops(count=2):
    return torch.rand(count, 3, CROP_PX, CROP_PX, generator=torch.Generator().manual_seed(1)) * 2 - 1


def write_onnx(network, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (crops(1),),
            str(path),
            input_names=["data"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={"data": {0: "n"}},
        )
    return path


@pytest.mark.parametrize(("name", "width"), [("iresnet18", 8), ("iresnet50", 4)])
def test_onnx_weights_give_what_onnxruntime_gives(tmp_path, name, width):
    path = write_onnx(random_network(name, width), tmp_path / "w.onnx")
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("BatchNormalization") < kinds.count("Conv"), "the exporter folded norms, as published files have"
    network = load_iresnet(path, name)
    with torch.no_grad():
        found = network(crops()).numpy()
    wanted = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
        None, {"data": crops().numpy()}
    )[0]
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_published_torch_weights_load_by_name(tmp_path):
    torch.manual_seed(1)
    network = IResNet("iresnet50").eval()
    keys = set(network.state_dict())
    assert {
        "conv1.weight",
        "layer1.0.downsample.0.weight",
        "layer4.2.bn3.running_var",
        "features.bias",
        "fc.weight",
    } <= keys
    torch.save(network.state_dict(), tmp_path / "backbone.pth")
    again = load_iresnet(tmp_path / "backbone.pth", "iresnet50")
    with torch.no_grad():
        assert torch.equal(network(crops(1)), again(crops(1)))
    with pytest.raises(WeightsMissing, match="are not those of iresnet100"):
        load_iresnet(tmp_path / "backbone.pth", "iresnet100")


def test_missing_and_wrong_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(WeightsMissing, match="Get backbone.pth from the arcface_torch model zoo"):
        load_iresnet(tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"zzz")
    with pytest.raises(WeightsMissing, match=r"bad\.pth is no file of torch weights"):
        load_iresnet(tmp_path / "bad.pth")
    path = write_onnx(random_network(), tmp_path / "w.onnx")
    with pytest.raises(WeightsMissing, match=r"is not iresnet50|a layer has weights \(16, 8, 3, 3\)"):
        load_iresnet(path, "iresnet50")


def face_at(scale, turn, shift):
    """68 points whose five lie where the template has them, moved by a similarity."""
    cos, sin = np.cos(turn), np.sin(turn)
    five = torch.tensor(TEMPLATE_PX) @ torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float32) * scale
    five = five + torch.tensor(shift)
    points = torch.zeros(68, 2)
    points[36:42], points[42:48] = five[0], five[1]
    points[30], points[48], points[54] = five[2], five[3], five[4]
    return points


def test_crops_undo_a_similarity():
    judge = ArcFace(random_network())
    ramp_x = torch.linspace(0, 1, 200)[None, None, None].expand(1, 1, 160, 200)
    ramp_y = torch.linspace(0, 1, 160)[None, None, :, None].expand(1, 1, 160, 200)
    picture = torch.cat((ramp_x, ramp_y, 0 * ramp_x), dim=1)
    crop = judge.crop(picture, face_at(0.8, 0.0, (30.0, 20.0))[None])
    # pixel (x, y) of the crop is pixel 0.8 x + 30 of the picture
    wanted = (0.8 * (torch.arange(CROP_PX) + 0.5) + 30.0 - 0.5) / 199
    torch.testing.assert_close(crop[0, 0, 56], wanted, atol=1e-4, rtol=0.0)
    turned = judge.crop(picture, face_at(0.8, 0.5, (70.0, 20.0))[None])
    assert not torch.allclose(turned, crop)


def test_gradient_reaches_pictures_and_not_the_network():
    judge = ArcFace(random_network()).train()
    assert not judge.network.training, "its running means are part of the weights"
    picture = torch.rand(1, 3, 128, 128, requires_grad=True)
    judge(picture, face_at(1.0, 0.1, (10.0, 5.0))[None]).square().sum().backward()
    assert float(picture.grad.abs().sum()) > 0.0
    assert all(p.grad is None for p in judge.parameters())


def external(path, place):
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="beside")
    (place.parent / "beside").write_bytes(bytes(1 << 20))
    place.write_bytes(model.SerializeToString())


def test_foreign_files_are_refused_by_name(tmp_path):
    network = random_network()
    path = write_onnx(network, tmp_path / "w.onnx")
    external(path, tmp_path / "bad.onnx")
    with pytest.raises(WeightsMissing, match=r"bad\.onnx keeps weights in other files"):
        load_iresnet(tmp_path / "bad.onnx", "iresnet18")
    (tmp_path / "bad.onnx").write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsMissing, match=r"bad\.onnx"):
        load_iresnet(tmp_path / "bad.onnx", "iresnet18")
    state = network.state_dict()
    for content, message in (
        ([1, 2], "no named tensors"),
        ({"fc.bias": 3}, "no named tensors"),
        ({**state, "fc.bias": torch.zeros(10_000)}, r"an embedding of shape \(10000,\)"),
        ({**state, "fc.bias": torch.zeros(())}, r"an embedding of shape \(\)"),
    ):
        torch.save(content, tmp_path / "bad.pth")
        with pytest.raises(WeightsMissing, match=rf"bad\.pth.*{message}"):
            load_iresnet(tmp_path / "bad.pth", "iresnet18")


class _Code:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_weights_run_no_code(tmp_path):
    torch.save({"fc.bias": _Code(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(WeightsMissing, match=r"bad\.pth is no file of torch weights") as caught:
        load_iresnet(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()
    assert "weights_only" not in str(caught.value), "torch advises to run the code; we do not"
