"""ArcFace's IResNet (Deng et al. 2019): a face in, an embedding of who it is out.

Loads the ``backbone.pth`` that insightface's arcface_torch publishes and the ONNX recognition models that ``insightface``
downloads. Both are for research only and are not shipped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bfm.landmarks import five_points_of_68
from bfm.reading import file_size, read_bytes
from bfm.text import printable
from recon.alignment import umeyama

CROP_PX = 112
TEMPLATE_PX = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where the two eyes, the nose tip and the mouth corners lie in a crop of 112 px (insightface, ``face_align.py``)."""

_STAGES = {"iresnet18": (2, 2, 2, 2), "iresnet50": (3, 4, 14, 3), "iresnet100": (3, 13, 30, 3)}


_WIDEST, _LONGEST_EMBEDDING = 256, 4096


class WeightsMissing(RuntimeError):
    """Weights of the face recognition network are not there or do not fit."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


class _Block(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3, BN, plus the shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside, eps=1e-5)
        self.conv1 = nn.Conv2d(inside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside, eps=1e-5)
        self.prelu = nn.PReLU(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside, eps=1e-5)
        self.downsample: nn.Sequential | None
        shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside, eps=1e-5))
        self.downsample = shortcut if stride != 1 or inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """The network of arcface_torch, with its parameter names, for 112 x 112 crops.

    Args:
        name: ``iresnet18``, ``iresnet50`` or ``iresnet100``.
        embedding: length of the embedding.
        width: channels of the first stage; smaller in tests.
    """

    def __init__(self, name: str = "iresnet100", embedding: int = 512, width: int = 64) -> None:
        super().__init__()
        if name not in _STAGES:
            raise ValueError(f"unknown face recognition network {name!r}; known: {', '.join(_STAGES)}")
        self.name = name
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=1e-5)
        self.prelu = nn.PReLU(width)
        inside = width
        stages = []
        for number, depth in enumerate(_STAGES[name]):
            outside = width * 2**number
            blocks = [_Block(inside if k == 0 else outside, outside, 2 if k == 0 else 1) for k in range(depth)]
            stages.append(nn.Sequential(*blocks))
            inside = outside
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.bn2 = nn.BatchNorm2d(inside, eps=1e-5)
        self.fc = nn.Linear(inside * (CROP_PX // 16) ** 2, embedding)
        self.features = nn.BatchNorm1d(embedding, eps=1e-5)
        nn.init.constant_(self.features.weight, 1.0)
        self.features.weight.requires_grad = False

    def forward(self, crops: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b d"]:
        """Embeddings ``(B, D)``, not normalised, of RGB crops in [-1, 1]."""
        x = self.prelu(self.bn1(self.conv1(crops)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        found: Tensor = self.features(self.fc(self.bn2(x).flatten(1)))
        return found


class ArcFace(nn.Module):
    """Embeddings of faces in pictures of any size: aligned by five points, warped differentiably. Frozen.

    Args:
        network: takes crops of 112 px in [-1, 1], as :class:`IResNet` and
            :class:`recon.networks.identity_network.IdentityNetwork` do.
    """

    template_px: Float[Tensor, "5 2"]

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("template_px", torch.tensor(TEMPLATE_PX))

    def train(self, mode: bool = True) -> ArcFace:
        """Stays in evaluation mode: its running means are part of the weights."""
        return super().train(False)

    def forward(
        self, pictures: Float[Tensor, "b 3 h w"], landmarks68_px: Float[Tensor, "b 68 2"]
    ) -> Float[Tensor, "b d"]:
        """Embeddings of the faces at these landmarks; gradient flows into the pictures."""
        found: Tensor = self.network(2.0 * self.crop(pictures, landmarks68_px) - 1.0)
        return found

    def crop(
        self, pictures: Float[Tensor, "b 3 h w"], landmarks68_px: Float[Tensor, "b 68 2"]
    ) -> Float[Tensor, "b 3 112 112"]:
        """The aligned crops; black beyond the picture."""
        return aligned_crops(pictures, five_points_of_68(landmarks68_px).detach(), self.template_px)


def aligned_crops(
    pictures: Float[Tensor, "b 3 h w"], five_px: Float[Tensor, "b 5 2"], template_px: Float[Tensor, "5 2"]
) -> Float[Tensor, "b 3 112 112"]:
    """Pictures by the similarity that lays five points of the face on those of the template; bilinear, black beyond the picture."""
    scale, rotation, shift_px = umeyama(template_px.expand_as(five_px), five_px)
    height, width = pictures.shape[-2:]
    side = torch.arange(CROP_PX, device=pictures.device, dtype=pictures.dtype) + 0.5
    y, x = torch.meshgrid(side, side, indexing="ij")
    crop_px = torch.stack((x, y), dim=-1).flatten(0, 1)
    turned = crop_px @ (scale[:, None, None] * rotation).transpose(1, 2)
    in_picture = (turned + shift_px[:, None]).unflatten(1, (CROP_PX, CROP_PX))
    size = in_picture.new_tensor([width, height])
    grid = 2.0 * in_picture / size - 1.0
    return nn.functional.grid_sample(pictures, grid, align_corners=False)


def load_iresnet(path: str | os.PathLike[str], name: str = "iresnet100") -> IResNet:
    """Published weights: ``backbone.pth`` of arcface_torch, or a recognition ``.onnx`` of insightface.

    Raises:
        WeightsMissing: no such file, or weights of another network.
    """
    place = Path(path)
    if not place.is_file():
        raise WeightsMissing(
            f"no face recognition weights at {place}. Get backbone.pth from the arcface_torch model zoo of "
            "github.com/deepinsight/insightface (research only), or let insightface download its 'antelopev2' or "
            "'buffalo_l' set and pass the recognition .onnx file; or set the weight of the perceptual loss to 0"
        )
    try:
        file_size(place)
        return _of_onnx(place, name) if place.suffix.lower() == ".onnx" else _of_torch(place, name)
    except WeightsMissing:
        raise
    except ImportError:  # onnx is an extra
        raise
    # The readers of torch and onnx raise whatever they meet in a foreign file.
    except Exception as error:
        raise WeightsMissing(
            f"{place} holds no readable weights ({type(error).__name__}: {str(error)[:300]})"
        ) from error


def _of_torch(place: Path, name: str) -> IResNet:
    try:
        state = torch.load(place, map_location="cpu", weights_only=True)
    except Exception as error:  # as above; torch's own message advises to run the file's code
        raise WeightsMissing(f"{place} is no file of torch weights alone ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsMissing(f"{place} holds no named tensors, which a file of weights does")
    bias = state.get("fc.bias")
    network = IResNet(name, 512 if bias is None else _embedding(place, tuple(bias.shape)))
    return _filled(network, state, place)


def _embedding(place: Path, shape: tuple[int, ...]) -> int:
    if len(shape) != 1 or not 1 <= shape[0] <= _LONGEST_EMBEDDING:
        raise WeightsMissing(
            f"{place}: an embedding of shape {shape}, where up to {_LONGEST_EMBEDDING} numbers are expected"
        )
    return shape[0]


def _filled(network: IResNet, state: dict[str, Any], place: Path) -> IResNet:
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsMissing(f"the weights in {place} are not those of {network.name}: {str(error)[:300]}") from error
    return network.eval()


def _of_onnx(place: Path, name: str) -> IResNet:
    """Weights out of the ONNX graph, in the order in which the network uses them.

    Exporters fold a batch norm that follows a convolution into it and rename everything, so names tell nothing; the order of
    the operations does.
    """
    import onnx
    from onnx import numpy_helper

    # From bytes, without the files beside it that it may name.
    graph = onnx.load_model_from_string(read_bytes(place)).graph
    if any(item.data_location == onnx.TensorProto.EXTERNAL for item in graph.initializer):
        raise WeightsMissing(f"{place} keeps weights in other files; save it as one file")
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:  # equal weights are stored once and passed on by name
        if node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
    nodes = [node for node in graph.node if node.op_type in ("Conv", "BatchNormalization", "PRelu", "Gemm")]
    linear = next((node for node in nodes if node.op_type == "Gemm"), None)
    first = next((node for node in nodes if node.op_type == "Conv"), None)
    if linear is None or first is None:
        raise WeightsMissing(f"{place} holds no face recognition network: no convolution or no linear layer in it")
    bias_of_linear, kernel = (arrays.get(node.input[k]) for node, k in ((linear, 2), (first, 1)))
    if bias_of_linear is None or kernel is None or not 1 <= len(kernel) <= _WIDEST:
        raise WeightsMissing(
            f"{place} is no face recognition network: its first or last layer has no weights of its own"
        )
    network = IResNet(name, _embedding(place, bias_of_linear.shape), len(kernel))
    queue = list(nodes)
    bias: np.ndarray | None = None  # of the last convolution, which has one only if a norm was folded into it
    for kind, layer, foldable in _layers_in_order(network):
        if foldable and bias is not None:
            _plain_norm(layer, bias)
            bias = None
            continue
        if not queue or queue[0].op_type != kind:
            has = f"{queue[0].op_type} {queue[0].name!r}" if queue else "nothing more"
            raise WeightsMissing(f"{place} is not {name}: expected {kind}, the file has {has}")
        node = queue.pop(0)
        held = [arrays[key] for key in node.input[1:] if key in arrays]
        if not held:
            raise WeightsMissing(f"{place}: the weights of {kind} {node.name!r} are computed, not stored")
        _copy(layer, held, place)
        bias = held[1] if kind == "Conv" and len(held) > 1 else None
    if queue:
        raise WeightsMissing(f"{place} has {len(queue)} layers more than {name}; is it another IResNet?")
    return network.eval()


def _layers_in_order(network: IResNet) -> list[tuple[str, nn.Module, bool]]:
    """(ONNX operation, layer, may be folded into the convolution before it), in the order of use."""
    found: list[tuple[str, nn.Module, bool]] = [
        ("Conv", network.conv1, False),
        ("BatchNormalization", network.bn1, True),
        ("PRelu", network.prelu, False),
    ]
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            assert isinstance(block, _Block)
            found += [
                ("BatchNormalization", block.bn1, False),
                ("Conv", block.conv1, False),
                ("BatchNormalization", block.bn2, True),
                ("PRelu", block.prelu, False),
                ("Conv", block.conv2, False),
                ("BatchNormalization", block.bn3, True),
            ]
            if isinstance(block.downsample, nn.Sequential):
                found += [("Conv", block.downsample[0], False), ("BatchNormalization", block.downsample[1], True)]
    return [
        *found,
        ("BatchNormalization", network.bn2, False),
        ("Gemm", network.fc, False),
        ("BatchNormalization", network.features, False),
    ]


def _plain_norm(layer: nn.Module, bias: np.ndarray) -> None:
    """A norm that only adds: the rest of it is in the convolution before."""
    size = bias.shape
    assert isinstance(layer, nn.BatchNorm2d)
    scale = np.full(size, (1.0 + layer.eps) ** 0.5, np.float32)
    _copy(layer, [scale, bias, np.zeros(size, np.float32), np.ones(size, np.float32)], Path("folded norm"))


def _copy(layer: nn.Module, arrays: list[np.ndarray], place: Path) -> None:
    """Arrays of one ONNX node into a layer."""
    if isinstance(layer, nn.Conv2d):
        targets: list[Any] = [layer.weight]
    elif isinstance(layer, nn.PReLU):
        targets, arrays = [layer.weight], [arrays[0].reshape(-1)]
    elif isinstance(layer, nn.Linear):
        targets = [layer.weight, layer.bias]
    else:
        targets = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    with torch.no_grad():
        for target, array in zip(targets, arrays, strict=False):
            _assign(target, array, place)


def _assign(target: Tensor, array: np.ndarray, place: Path) -> None:
    if tuple(target.shape) != tuple(array.shape):
        raise WeightsMissing(f"{place}: a layer has weights {tuple(array.shape)}, the network {tuple(target.shape)}")
    target.copy_(torch.from_numpy(np.array(array)))
