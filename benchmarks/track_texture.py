"""The texture of one frame and of many against the true albedo of drawn people.

    python benchmarks/track_texture.py --people 2 --frames 60

A clip is drawn, tracked, and its texture made of the first key frame alone and of the track's texture frames; 0 frames are the albedo
of the fitted model, which fills what no frame shows. Errors are those of the logarithm of the albedo on plain skin, less their
median: light and albedo have no common scale. They are told where the one frame shows the face, and where only others do. Detail is
what a Gaussian of 10 texels takes out: its correlation with the truth's.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from _report import print_header, print_table
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

import bfm
from recon.color import encode_srgb, srgb_to_linear
from recon.io.video import open_video
from recon.io.write_video import VideoWriter
from recon.synthesis.appearance.skin_points import Complexion, SkinSurface, skin_points
from recon.synthesis.moving import MovingConfig, MovingHeads
from recon.texturing.many_photos import FaceTexture
from recon.texturing.texels import Texels
from recon.texturing.uv_map import UvMap
from recon.tracking.head_track import HeadTrack
from recon.tracking.texture import texture_of
from recon.tracking.tracker import Tracker

_OFFSET, _DETAIL_TEXELS, _BORDER_TEXELS = 0.01, 10.0, 25
_LEAST_PERCENT = 50


def true_albedo(heads: MovingHeads, person: int, uv_map: UvMap) -> Float[Tensor, "n 3"]:
    """Linear albedo with brows, freckles and patches of skin, at the texels that show a triangle."""
    sampler, model = heads.sampler, heads.model
    scene = sampler.scene([person])
    covered = uv_map.triangle_ids >= 0
    at_texels = uv_map.sample_at(covered, torch.cat([scene.albedo[0], model.mean_shape], dim=1), model.faces)
    albedo, rest_mm = at_texels[:, :3].contiguous(), at_texels[:, 3:].contiguous()
    of_one = torch.zeros(len(albedo), dtype=torch.int64)
    if scene.brows is not None:
        albedo = scene.brows.over_albedo(albedo, rest_mm, of_one)
    segment = sampler.assets.anatomy.triangle_segments[uv_map.triangle_ids[covered]]
    complexion = Complexion.of(scene.people, scene.person_rng, scene.rng, sampler.config.skin_detail)
    ahead = torch.tensor([0.0, 0.0, 1.0]).repeat(len(albedo), 1)
    surface = SkinSurface(of_one, segment, ahead.clone(), ahead, albedo, torch.ones(len(albedo)), rest_mm)
    return skin_points(surface, complexion).albedo.clamp(0.0, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"))
    parser.add_argument("--texture", type=int, default=1024, help="side of the texture, px")
    parser.add_argument("--quality", default="default")
    arguments = parser.parse_args()
    print_header(1)
    model = bfm.load("open")
    heads = MovingHeads(model, MovingConfig(n_frames=arguments.frames), 5, tuple(arguments.size))
    uv_map = UvMap.of(model, arguments.texture)
    rows = []
    for person in range(arguments.people):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "video.mp4"
            with VideoWriter(path, heads.config.fps) as writer:
                for batch in heads(person):
                    writer.write((255.0 * batch.image[0].permute(1, 2, 0)).round().byte().numpy())
            video = open_video(path)
            (track,) = Tracker(model, arguments.quality)(video)
            one = dataclasses.replace(track, texture_frames=track.key_frames[:1])
            found = [(len(each.texture_frames), texture_of(each, video, arguments.texture)) for each in (one, track)]
        truth = true_albedo(heads, person, uv_map)
        (_, alone), (_, many) = found
        skin, shown = _seen_skin(track, uv_map, many), alone.coverage_percent > _LEAST_PERCENT
        model_colours = _placed(encode_srgb(_model_albedo(track, uv_map), track.model.albedo_space), uv_map)
        modelled = FaceTexture(
            (255.0 * model_colours).round().astype(np.uint8), np.zeros_like(many.coverage_percent), 0.0
        )
        for count, texture in ((0, modelled), *found):
            errors = [_errors(texture.colours, truth, uv_map, skin & where) for where in (shown, ~shown)]
            rows.append((person, count, f"{texture.covered_percent:.0f}", *errors[0], *errors[1]))
    columns = ("person", "frames", "face covered, %", "error where one shows it", "detail", "error elsewhere", "detail")
    print_table("Textures against the true albedo", columns, rows)


def _model_albedo(track: HeadTrack, uv_map: UvMap) -> Float[Tensor, "n 3"]:
    albedo = track.model.albedo(track.person.albedo)[0]
    return uv_map.sample_at(uv_map.triangle_ids >= 0, albedo, track.model.faces)


def _seen_skin(track: HeadTrack, uv_map: UvMap, texture: FaceTexture) -> Bool[np.ndarray, "t t"]:
    """Plain skin that at least one frame shows, a little within its borders."""
    albedo = track.model.albedo(track.person.albedo)[0]
    texels = Texels.of(uv_map, track.model, albedo, keep_light=False)
    inside = (texels.from_photo > 0.99) & (texels.plain_skin > 0.99) & (texture.coverage_percent > 0)
    return cv2.erode(inside.astype(np.uint8), np.ones((_BORDER_TEXELS, _BORDER_TEXELS), np.uint8)) > 0


def _placed(values: Float[Tensor, "n 3"], uv_map: UvMap) -> Float[np.ndarray, "t t 3"]:
    """Values of the texels that show a triangle in their places, 0 elsewhere."""
    placed = np.zeros((*uv_map.triangle_ids.shape, 3), np.float32)
    placed[(uv_map.triangle_ids >= 0).numpy()] = values.numpy()
    return placed


def _errors(
    colours: UInt8[np.ndarray, "t t 3"],
    truth: Float[Tensor, "n 3"],
    uv_map: UvMap,
    skin: Bool[np.ndarray, "t t"],
) -> tuple[str, str]:
    true = _placed(truth, uv_map)
    found = srgb_to_linear(torch.from_numpy(colours / np.float32(255.0))).numpy()
    logs = [np.log(picture + _OFFSET) for picture in (found, true)]
    away = (logs[0] - logs[1])[skin]
    details = [log.mean(axis=2) - cv2.GaussianBlur(log.mean(axis=2), (0, 0), _DETAIL_TEXELS) for log in logs]
    correlation = np.corrcoef(details[0][skin], details[1][skin])[0, 1]
    return f"{np.abs(away - np.median(away, axis=0)).mean():.4f}", f"{correlation:.3f}"


if __name__ == "__main__":
    main()
