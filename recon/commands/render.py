"""``recon render``: render a face of a model, with a given pose and light, as a PNG picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bfm.files import ModelFileError
from bfm.registry import MODEL_NAMES, UnknownModelError, load
from recon.io.faults import complain
from recon.io.marked_png import marked_png_problem, write_marked_png

if TYPE_CHECKING:
    import numpy as np

    import bfm.model

EXAMPLES = """examples:
  recon render --model open out.png
  recon render --model open --seed 3 --yaw 20 out.png
  recon render --model open --seed 3 --yaw -60 --show normals --size 640x512 profile.png
"""
MAX_SIDE = 16384
SHOWN = ("image", "normals", "depth", "albedo", "mask")


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``render`` to the subcommands of the ``recon`` command; its ``run`` default is :func:`run`."""
    parser = subcommands.add_parser(
        "render",
        help="render a face of a model",
        description="Render a face of a model as a PNG picture: the mean face, or a random one with --seed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT.png", help="where to write the picture")
    parser.add_argument("--model", default="open", help=f"one of {', '.join(MODEL_NAMES)}, or a .safetensors file")
    parser.add_argument("--path", type=Path, help="folder or file of the model, instead of the default folder")
    face = parser.add_argument_group("face")
    face.add_argument("--seed", type=int, help="sample a random identity and albedo; without it, the mean face")
    face.add_argument("--spread", type=float, default=1.0, help="standard deviations of random faces [1]")
    pose = parser.add_argument_group("pose, in degrees and mm")
    pose.add_argument("--yaw", type=float, default=0.0, help="positive: the face turns to the viewer's right [0]")
    pose.add_argument("--pitch", type=float, default=0.0, help="positive: the face turns down [0]")
    pose.add_argument("--roll", type=float, default=0.0, help="positive: counter-clockwise in the picture [0]")
    pose.add_argument("--distance", type=float, default=1000.0, help="from the camera to the middle of the head [1000]")
    picture = parser.add_argument_group("picture")
    picture.add_argument("--size", type=_size, default="512", metavar="PX", help="side, or HEIGHTxWIDTH [512]")
    picture.add_argument("--show", choices=SHOWN, default="image", help="what to show [image]")
    picture.add_argument("--background", type=float, default=1.0, help="grey level behind the image, 0 to 1 [1]")
    picture.add_argument("--backend", default="auto", choices=("auto", "numba", "torch", "nvdiffrast", "pytorch3d"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, 1 for a failure, 2 for wrong usage; problems go to the standard error."""
    problem = _usage_problem(arguments)
    if problem:
        return complain("recon render", problem, 2)
    try:
        model = load(arguments.model, arguments.path)
        picture = rendered_face(model, arguments)
    except UnknownModelError as error:
        return complain("recon render", str(error), 2)
    except (ModelFileError, ModuleNotFoundError, OSError, ValueError) as error:
        return complain("recon render", str(error), 1)
    try:
        write_marked_png(arguments.out, picture)
    except OSError as error:
        return complain("recon render", str(error), 1)
    sys.stdout.write(f"wrote {arguments.out}\n")
    return 0


def rendered_face(model: bfm.model.MorphableModel, arguments: argparse.Namespace) -> np.ndarray:
    """The picture as uint8 ``(H, W, 3)``."""
    import torch

    from recon.camera import PerspectiveCamera
    from recon.color import decode_srgb, encode_srgb
    from recon.lighting import ambient, lamps_to_sh
    from recon.render import Mesh, render
    from recon.rotation import euler_to_matrix

    coefficients = _random_face(model, arguments.seed, arguments.spread)
    v_obj = model.shape(coefficients["identity"])
    middle = 0.5 * (v_obj.amin(dim=1, keepdim=True) + v_obj.amax(dim=1, keepdim=True))
    mesh = Mesh.of(v_obj - middle, model.faces, model.albedo(coefficients["albedo"]))
    size = arguments.size
    angles_rad = torch.deg2rad(torch.tensor([[arguments.pitch, arguments.yaw, arguments.roll]]))
    camera = PerspectiveCamera.at(
        euler_to_matrix(angles_rad),
        torch.tensor([[0.0, 0.0, -arguments.distance]]),
        size=size,
        # a head is taller than the face crop that the default focal length is meant for
        focal_px=torch.full((1, 2), 3.0 * min(size)),
    )
    lamp = lamps_to_sh(torch.tensor([[[-0.4, 0.5, 1.0]]]), torch.tensor([[[1.9, 1.9, 1.9]]]))
    lighting = ambient(torch.tensor([[0.45, 0.45, 0.45]])) + lamp
    space = model.albedo_space
    backdrop = decode_srgb(torch.full((1, 3, 1, 1), arguments.background), space)
    with torch.no_grad():
        result = render(mesh, camera, lighting, size, backdrop, backend=arguments.backend)
        if arguments.show == "image":
            shown = encode_srgb(result.image, space)
        elif arguments.show == "normals":
            shown = torch.where(result.covered, 0.5 + 0.5 * result.normals, 0.0)
        elif arguments.show == "depth":
            near, far = (arguments.distance + side for side in (-150.0, 150.0))
            shown = torch.where(result.covered, (far - result.depth_mm) / (far - near), 0.0).expand(-1, 3, -1, -1)
        elif arguments.show == "albedo":
            shown = encode_srgb(result.albedo, space)
        else:
            shown = result.mask.expand(-1, 3, -1, -1)
    array: np.ndarray = (shown[0].permute(1, 2, 0).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
    return array


def _random_face(model: bfm.model.MorphableModel, seed: int | None, spread: float) -> dict:
    import torch

    if seed is None:
        return {"identity": None, "albedo": None}
    generator = torch.Generator().manual_seed(seed)
    widths = {"identity": (model.n_identity, model.identity_prior), "albedo": (model.n_albedo, model.albedo_prior)}
    face = {}
    for name, (width, prior) in widths.items():
        if prior == "unit":
            face[name] = torch.rand(1, width, generator=generator)
        else:
            face[name] = spread * torch.randn(1, width, generator=generator)
    return face


def _size(text: str) -> tuple[int, int]:
    """Height and width of ``"512"`` or ``"640x512"``."""
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 1 <= int(side) <= MAX_SIDE for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is no side or HEIGHTxWIDTH of 1 to {MAX_SIDE} pixels")
    return int(sides[0]), int(sides[-1])


def _usage_problem(arguments: argparse.Namespace) -> str | None:
    if arguments.out.suffix.lower() != ".png":
        return f"the picture is a PNG file: {arguments.out} should end in .png"
    if not arguments.out.absolute().parent.is_dir():
        return f"the folder of {arguments.out} does not exist"
    if not arguments.distance > 0:
        return f"--distance must be positive, got {arguments.distance}"
    if not 0.0 <= arguments.background <= 1.0:
        return f"--background must lie in [0, 1], got {arguments.background}"
    return marked_png_problem(arguments.out)
