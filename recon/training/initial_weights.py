"""Starting a training from the network of another run: the paper's step 2 goes on from step 1."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from recon.networks.checkpoint import load_regressor
from recon.networks.file_kinds import is_safetensors, is_torch_archive
from recon.networks.head import FaceBlocks
from recon.networks.network_file import CheckpointError
from recon.networks.regressor import Regressor
from recon.training.saving import WholeCheckpoints

_AVERAGED = "averaged."


def load_initial_weights(regressor: Regressor, path: Path) -> None:
    """Fill a network with the averaged weights of another run; nothing else of that run is taken over.

    Args:
        regressor: the network to fill, in place.
        path: a ``.safetensors`` file of weights, or a ``.ckpt`` file of a whole training, under whatever name.

    Raises:
        CheckpointError: no such file, another kind of file, a network for another face model, or one of another build; said
            before anything was changed.
    """
    if not path.is_file():
        raise CheckpointError(f"no initial weights at {path}; pass a .safetensors or .ckpt file that train.py wrote")
    # What a file holds counts, and its name only where that is neither.
    if is_safetensors(path) or (path.suffix == ".safetensors" and not is_torch_archive(path)):
        found = load_regressor(path, regressor.blocks)[0]
        state: dict[str, Tensor] = found.state_dict()
        camera: str = found.config.camera
    elif is_torch_archive(path) or path.suffix == ".ckpt":
        state, camera = _of_training(path, regressor.blocks)
    else:
        raise CheckpointError(f"initial weights come from a .safetensors or .ckpt file, got {path}")
    if camera != regressor.config.camera:
        raise CheckpointError(
            f"the network in {path} was trained for the camera {camera!r}, the config asks for {regressor.config.camera!r}"
        )
    own = regressor.state_dict()
    differing = sorted(name for name in {*own, *state} if name not in own or name not in state)
    differing += sorted(name for name in own if name in state and own[name].shape != state[name].shape)
    if differing:
        raise CheckpointError(
            f"the network in {path} is built otherwise than the config's ({len(differing)} differences, the first: "
            f"{differing[0]}); take over its backbone, size, fam, pool and white_light"
        )
    regressor.load_state_dict(state, strict=True)


def _of_training(path: Path, blocks: FaceBlocks) -> tuple[dict[str, Tensor], str]:
    """The averaged weights in a checkpoint of a training, and the camera that it was for."""
    content = WholeCheckpoints().load_checkpoint(path)
    if not isinstance(content, dict) or not {"state_dict", "face_blocks"} <= set(content):
        raise CheckpointError(f"{path} is no checkpoint of a training of train.py")
    found = FaceBlocks.of_dict(content["face_blocks"])
    if not found.serves(blocks):
        raise CheckpointError(f"{path} was trained for the face model {found}, the config asks for {blocks}")
    weights: dict[str, Tensor] = content["state_dict"]
    averaged = {name.removeprefix(_AVERAGED): w for name, w in weights.items() if name.startswith(_AVERAGED)}
    return averaged, str(content.get("camera", "perspective"))
