"""What a frame should look like, as geometry tells it: the person's look in one frame, moved to where the head is and to the mouth of a voice.

A face model's head is fitted to the frames of a video (:class:`recon.dubbing.clip_head.ClipHead`). Its surface carries the colours of one frame
of the person to the pose of any other; its mouth is that of the voice (:mod:`recon.speech`). An editor that is shown this has no jaw and no
mouth to move: it mends what one frame does not show.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import encode_srgb
from recon.dubbing.clip_head import ClipHead
from recon.dubbing.voices import at_frames, heard_voice
from recon.networks.diffusion.editor_network import GUIDE_CHANNELS
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import unit, vertex_normals
from recon.render.rasterize import rasterize
from recon.render.sampling import sample_pixels
from recon.render.screen import clip_to_screen, screen_to_pixels
from recon.speech.articulation import SPOKEN_WEIGHTS, arkit_weights

_BEHIND, _UNSEEN, _SEEN, _INSIDE = 0.0, 85.0, 170.0, 255.0
"""Values of the last channel, see :meth:`MouthGuide.__call__`."""
_SUPERSAMPLED = 2
"""Samples a side of a pixel: lips of small crops part by less than one."""
_LEAST_FACING = 0.15
"""Cosine between skin and line of sight below which a frame does not show it."""
_TEETH_SHADE, _INSIDE_SHADE = 0.5, 0.3
"""Brightness of teeth, and of all else inside the mouth, in that of the face: little light gets there."""


def spoken_weights(
    sound: Int[np.ndarray, " n"], times_s: Float[np.ndarray, " t"], names: tuple[str, ...]
) -> Float[np.ndarray, "t m"]:
    """The ARKit weights of a voice at the times of frames.

    Args:
        sound: 16-bit samples at :data:`recon.dubbing.clips.RATE_HZ`.
        times_s: ``(T,)``.
        names: ``(M,)`` of the weights.
    """
    mouth = at_frames(heard_voice(sound, "articulators"), times_s, 1)[:, 0].astype(np.float64)
    return arkit_weights(mouth, names)


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """How a person looks in one frame.

    Attributes:
        frame: its number.
        picture: ``(3, S, S)`` of the crop, 0 to 255.
        place: ``(V, 3)`` of the head's vertices: x and y in px of the crop, and how much each faces the camera (a cosine).
        inside: ``(V, 3)`` colours of the mouth's inside in this light.
    """

    frame: int
    picture: Float[Tensor, "3 s s"]
    place: Float[Tensor, "v 3"]
    inside: Float[Tensor, "v 3"]


class MouthGuide:
    """Draws what frames should look like.

    Args:
        model: of the head's coefficients, with ARKit's expressions.
        head: of the clip.
        size: side of the crops, px.

    Raises:
        ValueError: a model with coefficients of another kind, or without the expressions.
    """

    def __init__(self, model: MorphableModel, head: ClipHead, size: int) -> None:
        if not set(SPOKEN_WEIGHTS) <= set(model.expression_names):
            raise ValueError(f"model {model.name!r} lacks ARKit's expressions, by which a voice moves a mouth")
        if model.n_identity != len(head.identity) or model.n_expression != head.expression.shape[1]:
            raise ValueError(
                f"the head has {len(head.identity)} and {head.expression.shape[1]} coefficients, the model {model.n_identity} and "
                f"{model.n_expression}"
            )
        self._model, self._head, self._size = model, head, size
        self._identity = torch.from_numpy(head.identity)[None].float()
        self._spoken = np.array([name in SPOKEN_WEIGHTS for name in model.expression_names])
        self._within = model.any_region("mouth_interior", "teeth", "tongue")
        self._shade = torch.where(model.any_region("teeth"), _TEETH_SHADE, _INSIDE_SHADE)[:, None]
        self._albedo = encode_srgb(model.albedo()[0], model.albedo_space)

    @torch.no_grad()
    def look(self, frame: int, picture: UInt8[np.ndarray, "s s 3"]) -> Look:
        """The person in a frame, the mouth at rest if it can be chosen.

        Args:
            frame: its number.
            picture: ``(S, S, 3)`` its crop.
        """
        v_cam, screen = self._placed(frame, self._head.expression[frame])
        normals = vertex_normals(v_cam, self._model.faces)[0]
        facing = (normals * -unit(v_cam[0])).sum(dim=1, keepdim=True)
        place = torch.cat((screen_to_pixels(screen[0]), facing), dim=1)
        pixels = torch.tensor(picture).permute(2, 0, 1).float()
        shown = (facing[:, 0] > 0.5) & ~self._within & self._model.any_region("face")
        light = sample_pixels(pixels, place[shown, :2]).mean(dim=0) / self._albedo[shown].mean(dim=0)
        return Look(frame, pixels, place, (self._shade * light * self._albedo).clamp(0.0, 255.0))

    @torch.no_grad()
    def __call__(self, frame: int, look: Look, weights: Float[np.ndarray, " ke"]) -> UInt8[np.ndarray, "s s 4"]:
        """The guide of a frame.

        Args:
            frame: its number: of it only where the head is, is known.
            look: of the person.
            weights: ``(Ke,)`` of the voice; those that no voice moves are taken from the look's frame.

        Returns:
            ``(S, S, 4)`` sRGB, and what is shown: no head, skin that the look's frame does not show, skin that it shows, the inside of the
            mouth.
        """
        driven = np.where(self._spoken, weights, self._head.expression[look.frame])
        _, screen = self._placed(frame, driven)
        side = _SUPERSAMPLED * self._size
        raster = rasterize(self._clip_of(screen), self._model.faces, (side, side))
        attributes = torch.cat((look.place, look.inside, self._within.float()[:, None]), dim=1)[None]
        place, facing, inside, within = interpolate_packed(attributes, raster).split((2, 1, 3, 1), dim=1)
        is_inside = within > 0.5
        colours = torch.where(is_inside, inside, sample_pixels(look.picture, place))
        seen = torch.where(facing > _LEAST_FACING, _SEEN, _UNSEEN)
        kind = torch.where(is_inside, torch.full_like(within, _INSIDE), seen)
        samples = raster.unpack(torch.cat((colours, kind), dim=1), self._behind(frame, look, side)[None])
        guide = samples.view(self._size, _SUPERSAMPLED, self._size, _SUPERSAMPLED, GUIDE_CHANNELS).mean(dim=(1, 3))
        return guide.round().clamp(0.0, 255.0).byte().numpy()

    @torch.no_grad()
    def mouth_place(self, frame: int) -> Float[np.ndarray, " 2"]:
        """Where the middle of the mouth is in a frame's crop, in shares of its side."""
        camera = self._head.camera(frame)
        expression = torch.from_numpy(self._head.expression[frame])[None].float()
        points = self._model.landmarks68(self._model.shape(self._identity, expression))[:, 48:].mean(
            dim=1, keepdim=True
        )
        at_px = camera.to_pixels(camera.to_camera(points))[0, 0].double().numpy()
        return (self._head.crop_from_frame[frame] @ np.append(at_px, 1.0))[:2]

    def _placed(
        self, frame: int, weights: Float[np.ndarray, " ke"]
    ) -> tuple[Float[Tensor, "1 v 3"], Float[Tensor, "1 v 4"]]:
        """The head in camera coordinates, and in homogeneous pixels of the frame's crop."""
        expression = torch.from_numpy(weights)[None].float()
        camera = self._head.camera(frame)
        v_cam = camera.to_camera(self._model.shape(self._identity, expression))
        size = (self._size, self._size)
        screen = clip_to_screen(camera.to_clip(v_cam, size), size)
        px_from_frame = torch.from_numpy(self._px_from_frame(frame)).float()
        flat = screen[..., (0, 1, 3)] @ px_from_frame.T
        return v_cam, torch.stack((flat[..., 0], flat[..., 1], screen[..., 2], flat[..., 2]), dim=-1)

    def _px_from_frame(self, frame: int) -> Float[np.ndarray, "3 3"]:
        return np.diag([self._size, self._size, 1.0]) @ self._head.crop_from_frame[frame]

    def _clip_of(self, screen: Float[Tensor, "1 v 4"]) -> Float[Tensor, "1 v 4"]:
        """The inverse of :func:`recon.render.screen.clip_to_screen`."""
        x, y, z, w = screen.unbind(dim=-1)
        return torch.stack((2.0 * x / self._size - w, w - 2.0 * y / self._size, z, w), dim=-1)

    def _behind(self, frame: int, look: Look, side: int) -> Float[Tensor, "s s 4"]:
        """What a camera that stands still shows beside the head: the same place of the look's frame."""
        look_from_frame = self._px_from_frame(look.frame) @ np.linalg.inv(self._px_from_frame(frame))
        centres = (np.arange(side) + 0.5) * self._size / side
        x, y = np.meshgrid(centres, centres)
        at = np.stack((x, y), axis=-1).reshape(-1, 2) @ look_from_frame[:2, :2].T + look_from_frame[:2, 2]
        colours = sample_pixels(look.picture, torch.from_numpy(at).float())
        kind = torch.full_like(colours[:, :1], _BEHIND)
        return torch.cat((colours, kind), dim=1).view(side, side, GUIDE_CHANNELS)
