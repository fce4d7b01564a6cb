"""The pose networks by the configs that tell them apart."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

from recon.networks.pose.fsanet import FsaNet, FsaNetConfig
from recon.networks.pose.hopenet import HopeNet, HopeNetConfig
from recon.networks.pose.sixd import SixdConfig, SixdNetwork

PoseNetworkConfig = SixdConfig | FsaNetConfig | HopeNetConfig
PoseNetwork = SixdNetwork | FsaNet | HopeNet

_CONFIGS: dict[str, type[PoseNetworkConfig]] = {config().kind: config for config in get_args(PoseNetworkConfig)}
KINDS = tuple(_CONFIGS)
"""Names of the networks."""


def build_pose_network(config: PoseNetworkConfig) -> PoseNetwork:
    """The network of a config, with random weights or ImageNet's.

    Raises:
        BackboneError: see :class:`recon.networks.backbones.Backbone`.
    """
    if isinstance(config, SixdConfig):
        return SixdNetwork(config)
    if isinstance(config, FsaNetConfig):
        return FsaNet(config)
    return HopeNet(config)


def config_to_text(config: PoseNetworkConfig) -> str:
    """As files hold it."""
    return json.dumps(dataclasses.asdict(config))


def config_of_text(text: str) -> PoseNetworkConfig:
    """The config of a network from the JSON that its files hold.

    Raises:
        ValueError, TypeError, RecursionError: it makes no sense.
    """
    values: Any = json.loads(text)
    if not isinstance(values, dict) or values.get("kind") not in _CONFIGS:
        found = values.get("kind") if isinstance(values, dict) else values
        raise ValueError(f"the kind of a pose network is one of {', '.join(KINDS)}, got {str(found)[:40]!r}")
    made = _CONFIGS[values["kind"]]
    known = {field.name for field in dataclasses.fields(made)}
    if not set(values) <= known:
        raise ValueError(f"the config of a pose network {values['kind']} has the keys {', '.join(sorted(known))}")
    if "pretrained" in known:
        values = {**values, "pretrained": False}
    return made(**values)
