"""Feature extractors behind one small interface: a picture in, feature maps out, the coarsest first.

All come from timm, with ImageNet weights on request. Swin comes in four sizes; the others are the ablation's rows
(Table 5 of the reconstruction paper) and small ones for the edge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """One row of :data:`BACKBONES`.

    Attributes:
        architecture: timm's name of the network.
        weights: timm's tag of its ImageNet weights.
        window: side of Swin's attention windows at a picture of 224 px; 0 for other networks.
        fixed_size: the network is built for one picture size.
        stages: which of timm's feature maps are used, the finest first; ``None`` takes the last four.
    """

    architecture: str
    weights: str
    window: int = 0
    fixed_size: bool = False
    stages: tuple[int, ...] | None = None


def _swin(size: str, window: int, weights: str) -> BackboneInfo:
    return BackboneInfo(f"swin_{size}_patch4_window{window}_{224 if window == 7 else 384}", weights, window, True)


_VIT_B, _VIT_L = (3, 6, 9, 11), (5, 11, 17, 23)

BACKBONES: dict[str, BackboneInfo] = {
    "swin_tiny": _swin("tiny", 7, "ms_in1k"),
    "swin_small": _swin("small", 7, "ms_in1k"),
    "swin_base": _swin("base", 7, "ms_in1k"),
    "swin_base_22k": _swin("base", 7, "ms_in22k"),
    "swin_base_window12": _swin("base", 12, "ms_in22k"),
    "swin_large": _swin("large", 7, "ms_in22k"),
    # Weights of Swin-L from ImageNet-1K alone were never published; these are tuned on it after ImageNet-22K.
    "swin_large_1k": _swin("large", 7, "ms_in22k_ft_in1k"),
    "swin_large_window12": _swin("large", 12, "ms_in22k"),
    "resnet18": BackboneInfo("resnet18", "a1_in1k"),
    "resnet101": BackboneInfo("resnet101", "a1h_in1k"),
    "resnet152": BackboneInfo("resnet152", "a1h_in1k"),
    "resnet101x3": BackboneInfo("resnetv2_101x3_bit", "goog_in21k"),
    "efficientnetv2_l": BackboneInfo("tf_efficientnetv2_l", "in21k"),
    "efficientnetv2_xl": BackboneInfo("tf_efficientnetv2_xl", "in21k"),
    "vit_b16": BackboneInfo("vit_base_patch16_224", "augreg_in21k", 0, True, _VIT_B),
    "vit_l16": BackboneInfo("vit_large_patch16_224", "augreg_in21k", 0, True, _VIT_L),
    "mobilenetv2": BackboneInfo("mobilenetv2_100", "ra_in1k"),
    "mobilenetv4_small": BackboneInfo("mobilenetv4_conv_small", "e2400_r224_in1k"),
    "mobilenetv4_small_050": BackboneInfo("mobilenetv4_conv_small_050", "e3000_r224_in1k"),
    "efficientvit_b0": BackboneInfo("efficientvit_b0", "r224_in1k"),
}


_MOST_CHANNELS, _MOST_LAYERS = 8192, 64
_COUNTS = {
    **dict.fromkeys(("embed_dim", "num_heads", "channels", "stem_chs", "window_size"), _MOST_CHANNELS),
    **dict.fromkeys(("depth", "depths", "layers"), _MOST_LAYERS),
}
_RATES = {
    **dict.fromkeys(("channel_multiplier", "depth_multiplier"), 4.0),
    **dict.fromkeys(("drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate"), 1.0),
}


class BackboneError(ValueError):
    """An unknown backbone, or options it cannot have."""


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what does not only make a network smaller: timm's other options open files and fetch weights.

    Raises:
        BackboneError: an option that is not known here, or a value beyond every network.
    """
    for name, value in options.items():
        if name in _COUNTS:
            numbers = value if isinstance(value, (tuple, list)) else (value,)
            fits = len(numbers) <= 8 and all(type(n) is int and 1 <= n <= _COUNTS[name] for n in numbers)
        elif name in _RATES:
            fits = type(value) in (int, float) and 0.0 <= value <= _RATES[name]
        else:
            raise BackboneError(
                f"backbones take no option {str(name)[:40]!r}; they take: {', '.join(sorted({*_COUNTS, *_RATES}))}"
            )
        if not fits:
            raise BackboneError(f"the backbone's option {name!r} cannot be {str(value)[:40]}")


class Backbone(nn.Module):
    """A feature extractor with its normalisation inside.

    Args:
        name: a key of :data:`BACKBONES`.
        size: side of the picture in px. Swin and ViT are built for it; the others take any size of a multiple of 32.
        pretrained: fetch ImageNet weights through timm.
        checkpointing: trade time for memory in training.
        **options: passed on to timm, to build smaller ones (``embed_dim``, ``depths``, ...), see :func:`check_options`.

    Attributes:
        channels: of each feature map, the coarsest first.
        mean, std: of the RGB the weights were made for.

    Raises:
        BackboneError: an unknown name or option, a size that does not fit the windows, or weights that cannot be
            fetched.
    """

    mean: Float[Tensor, "3 1 1"]
    std: Float[Tensor, "3 1 1"]

    def __init__(
        self, name: str, size: int = 224, *, pretrained: bool = False, checkpointing: bool = False, **options: Any
    ) -> None:
        super().__init__()
        if name not in BACKBONES:
            raise BackboneError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
        info = BACKBONES[name]
        if size < 32 or size % 32:
            raise BackboneError(f"pictures for a backbone must have a side of a multiple of 32 px, got {size}")
        check_options(options)
        self.name, self.size = name, size
        self.body = _build(info, size, pretrained, options)
        channels = list(self.body.feature_info.channels())
        self._chosen = range(len(channels))[-4:]
        self.channels = tuple(channels[stage] for stage in reversed(self._chosen))
        self._channels_last = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")
        settings = timm.get_pretrained_cfg(f"{info.architecture}.{info.weights}")
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(getattr(settings, key)).view(3, 1, 1))
        if checkpointing:
            _checkpoint_activations(self.body, name)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Feature maps ``(B, C, H/k, W/k)``, the coarsest first, of pictures in [0, 1]."""
        found = self.body((pictures - self.mean) / self.std)
        maps = [found[stage] for stage in reversed(self._chosen)]
        return [m.permute(0, 3, 1, 2) for m in maps] if self._channels_last else maps


def _build(info: BackboneInfo, size: int, pretrained: bool, options: dict[str, Any]) -> Any:
    extra = dict(options)
    if info.fixed_size:
        extra.setdefault("img_size", size)
    if info.window:
        # Table 4's window of 12 at 224 px leaves borders that timm pads and masks.
        extra.setdefault("window_size", info.window)
        extra.setdefault("strict_img_size", False)
    if info.stages is not None:
        depth = int(extra.get("depth", len(info.stages) * (info.stages[0] + 1)))
        wanted = [min(stage, depth - 1) for stage in info.stages]
        extra.setdefault("out_indices", wanted if len(set(wanted)) == 4 else list(range(max(0, depth - 4), depth)))
    try:
        name = f"{info.architecture}.{info.weights}" if pretrained else info.architecture
        return timm.create_model(name, pretrained=pretrained, features_only=True, **extra)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise BackboneError(
            f"the ImageNet weights of {info.architecture}.{info.weights} could not be fetched ({error}); connect to the "
            "network, set HF_HOME to a cache that has them, or train with pretrained: false"
        ) from error


def _checkpoint_activations(body: Any, name: str) -> None:
    target = getattr(body, "model", body)
    switch = getattr(target, "set_grad_checkpointing", None)
    if switch is not None:
        switch(True)
        return
    found = False
    for module in body.modules():  # timm's feature lists keep Swin's stages but not the switch above them
        if hasattr(module, "grad_checkpointing"):
            module.grad_checkpointing = True
            found = True
    if not found:
        raise BackboneError(f"backbone {name!r} has no activation checkpointing; leave checkpointing off")
