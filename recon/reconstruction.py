"""The result: one head from one photo, and everything that can be made of it."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon import export
from recon.camera import PosedCamera
from recon.color import encode_srgb
from recon.detection.face import Face
from recon.export.camera_json import camera_numbers
from recon.io.image import Photo
from recon.io.names import printable
from recon.render import Mesh, Render, Topology, render
from recon.rotation import matrix_to_euler, turn_to_ray
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.segmenter import FaceSegmenter
from recon.texturing.bake import bake_texture
from recon.texturing.unproject import PhotographedHead
from recon.texturing.uv_map import UvMap

FORMATS = ("glb", "obj", "ply", "stl", "usdz")


@dataclasses.dataclass(frozen=True)
class FitReport:
    """How well the head explains the photo.

    Attributes:
        landmark_error_percent: mean distance of fitted from detected points, in percent of the face's size; nan if no dense
            landmarks were detected.
        photometric_residual: root mean square difference of sRGB code values on bare skin, [0, 1]; nan without a picture.
        warnings: what a user should know before relying on it.
        distance_sigma, focal_sigma: standard deviations of the head's distance from the camera and of the focal length, as
            shares of them, by the landmarks; nan where these do not tell, see :class:`recon.fitting.fit.FitResult`.
        depth_error_mm: median distance of the head from the surface that was measured with the photo; nan if none was, or it was
            left aside.
    """

    landmark_error_percent: float
    photometric_residual: float
    warnings: tuple[str, ...]
    distance_sigma: float = math.nan
    focal_sigma: float = math.nan
    depth_error_mm: float = math.nan


@dataclasses.dataclass(frozen=True)
class HeadPose:
    """Rotation of the head against the camera, degrees, R = Rz(roll) Ry(yaw) Rx(pitch).

    Positive yaw turns the face to the viewer's right, positive pitch down, positive roll counter-clockwise.
    """

    yaw: float
    pitch: float
    roll: float

    @classmethod
    def of(cls, rotation: Float[Tensor, "3 3"]) -> HeadPose:
        """The angles of a rotation from the object frame to the camera frame."""
        pitch, yaw, roll = torch.rad2deg(matrix_to_euler(rotation)).tolist()
        return cls(yaw, pitch, roll)


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """One head. Vertices are in mm in the object frame; pixels are those of ``photo.pixels``.

    Attributes:
        model: the face model of the coefficients.
        photo: the upright photo.
        face: the detected face.
        identity: ``(1, Ki)``.
        expression: ``(1, Ke)``.
        albedo_coefficients: ``(1, Ka)``.
        lighting: ``(1, 9, 3)`` radiance coefficients, camera frame.
        camera: of the full photo, with the head's pose.
        fit_report: how well the head explains the photo.
        segmenter: tells visible skin from what covers it when the texture is taken from the photo.
    """

    model: MorphableModel
    photo: Photo
    face: Face
    identity: Float[Tensor, "1 ki"]
    expression: Float[Tensor, "1 ke"]
    albedo_coefficients: Float[Tensor, "1 ka"]
    lighting: Float[Tensor, "1 9 3"]
    camera: PosedCamera
    fit_report: FitReport
    segmenter: FaceSegmenter = dataclasses.field(default_factory=GrabCutSegmenter)

    @property
    def quality(self) -> FitReport:
        """The old name of ``fit_report``, removed in version 0.2."""
        warnings.warn("Reconstruction.quality is now fit_report", DeprecationWarning, stacklevel=2)
        return self.fit_report

    @functools.cached_property
    def vertices(self) -> Float[np.ndarray, "v 3"]:
        """Head with its expression, mm, object frame."""
        return self._vertices[0].numpy()

    @functools.cached_property
    def albedo(self) -> Float[np.ndarray, "v 3"]:
        """Albedo a vertex, [0, 1], in the model's ``albedo_space``."""
        return self.model.albedo(self.albedo_coefficients)[0].numpy()

    @property
    def pose(self) -> HeadPose:
        """Against the camera's axis."""
        return HeadPose.of(self.camera.rotation[0])

    @property
    def pose_ray(self) -> HeadPose:
        """Against the ray from the camera to the head, as the head looks in a crop: a head that faces the camera has yaw and
        pitch 0 wherever it is in the photo. Under weak perspective all rays are parallel to the axis."""
        rotation = self.camera.rotation
        if self.camera.model == "perspective":
            rotation = turn_to_ray(self.camera.translation_mm).transpose(1, 2) @ rotation
        return HeadPose.of(rotation[0])

    @property
    def expression_weights(self) -> Mapping[str, float]:
        """Expression coefficients by name (ARKit's for the open model)."""
        names = self.model.expression_names or tuple(f"expression{i}" for i in range(self.model.n_expression))
        return dict(zip(names, self.expression[0].tolist(), strict=True))

    def landmarks_mm(self, name: str = "68") -> Float[np.ndarray, "n 3"]:
        """Landmarks in the object frame, mm."""
        return self.model.landmarks(self._vertices, name)[0].numpy()

    def landmarks_px(self, name: str = "68") -> Float[np.ndarray, "n 2"]:
        """Landmarks in pixels of the photo."""
        points = self.model.landmarks(self._vertices, name)
        return self.camera.to_pixels(self.camera.to_camera(points))[0].numpy()

    @property
    def landmarks68(self) -> Float[np.ndarray, "68 2"]:
        """The 68 landmarks in pixels of the photo."""
        return self.landmarks_px("68")

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """The head alone, as the photo's camera and light show it, on black; size of the photo."""
        return self._composite(np.zeros_like(self.photo.pixels))

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The photo with the head rendered over it."""
        return self._composite(self.photo.pixels)

    def depth_map(self) -> Float[np.ndarray, "h w"]:
        """Planar depth in mm on the photo's pixels, nan off the head."""
        box, rendered = self._window
        depth = np.full(self.photo.pixels.shape[:2], np.nan, dtype=np.float32)
        inside = rendered.covered[0, 0].numpy()
        depth[box][inside] = rendered.depth_mm[0, 0].numpy()[inside]
        return depth

    def normal_map(self) -> Float[np.ndarray, "h w 3"]:
        """Unit normals in the camera frame on the photo's pixels, nan off the head."""
        box, rendered = self._window
        normals = np.full(self.photo.pixels.shape, np.nan, dtype=np.float32)
        inside = rendered.covered[0, 0].numpy()
        normals[box][inside] = rendered.normals[0].permute(1, 2, 0).numpy()[inside]
        return normals

    def texture(self, size: int = 1024, light: str = "removed") -> UInt8[np.ndarray, "t t 3"]:
        """UV texture, sRGB: the photo where it shows the face, the fitted albedo elsewhere.

        Args:
            size: side in texels.
            light: ``removed`` divides out the fitted shading and compresses what shading is left; ``baked`` keeps the
                photo's light.

        Raises:
            ValueError: the model has no UV coordinates.
        """
        head = PhotographedHead(
            self.model,
            self._vertices,
            self.model.albedo(self.albedo_coefficients),
            self.lighting,
            self.camera,
            self.photo.pixels,
        )
        return bake_texture(head, UvMap.of(self.model, size), light, self.segmenter)

    def mesh(
        self,
        texture_size: int = 1024,
        *,
        neutral: bool = True,
        light: str = "removed",
        texture: UInt8[np.ndarray, "t t 3"] | None = None,
    ) -> export.ExportMesh:
        """The head as an exportable mesh with texture and named morph targets.

        Args:
            texture_size: side of the texture in px; 0 leaves it out and writes vertex colours.
            neutral: leave the expression out of the vertices; the morph targets, which models with weights in [0, 1] have, then
                start from a neutral face.
            light: see :meth:`texture`.
            texture: one that is there already, of whatever size; ``None`` makes one of this photo.
        """
        data = self.model.data()
        textured = (texture_size > 0 or texture is not None) and len(data.uv) > 0
        if textured and texture is None:
            texture = self.texture(texture_size, light)
        vertices = self.model.shape(self.identity)[0].numpy() if neutral else self.vertices
        colours = encode_srgb(torch.as_tensor(self.albedo), self.model.albedo_space).numpy()
        return export.ExportMesh(
            vertices_mm=vertices,
            faces=data.faces,
            uv=data.uv if textured else None,
            uv_faces=data.uv_faces if textured else None,
            texture=texture if textured else None,
            colors=colours,
            morph_targets={name: data.expression_basis[..., k] for k, name in enumerate(self._morph_names)},
            name="head",
        )

    def to_dict(self) -> dict[str, object]:
        """Everything that ``face.json`` holds."""
        return {
            "photo": {
                "source": printable(self.photo.source),
                "height": self.photo.pixels.shape[0],
                "width": self.photo.pixels.shape[1],
                "scale": self.photo.scale,
                "notes": [printable(note) for note in self.photo.notes],
            },
            "face": {
                "box": self.face.box,
                "score": self.face.score,
                "detector": self.face.detector,
                "rotation_deg": self.face.rotation_deg,
            },
            "model": {
                "name": self.model.name,
                "licence": self.model.licence,
                "vertices": self.model.n_vertices,
                "albedo_space": self.model.albedo_space,
            },
            "pose": dataclasses.asdict(self.pose),
            "pose_ray": dataclasses.asdict(self.pose_ray),
            "camera": camera_numbers(self.camera),
            "identity": self.identity[0].numpy(),
            "expression": dict(self.expression_weights),
            "albedo": self.albedo_coefficients[0].numpy(),
            "lighting": self.lighting[0].numpy(),
            "landmarks68_px": self.landmarks68,
            "landmarks68_mm": self.landmarks_mm("68"),
            "quality": {
                "landmark_error_percent": _or_none(self.fit_report.landmark_error_percent),
                "photometric_residual": _or_none(self.fit_report.photometric_residual),
                "distance_sigma": _or_none(self.fit_report.distance_sigma),
                "focal_sigma": _or_none(self.fit_report.focal_sigma),
                "depth_error_mm": _or_none(self.fit_report.depth_error_mm),
                "warnings": [printable(warning) for warning in self.fit_report.warnings],
            },
        }

    def save(
        self,
        folder: str | os.PathLike[str],
        formats: tuple[str, ...] = ("glb",),
        *,
        texture_size: int = 1024,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write ``head.*`` in the given formats, ``depth.png``, ``depth.npy``, ``normals.png`` and ``face.json``.

        All show the reconstructed expression: ``head.glb`` and ``head.usdz`` by the weights of their morph targets, or, for a model without
        weights in [0, 1], in its vertices.

        Raises:
            ValueError: an unknown format.
            OutputExistsError, OutputError: see :mod:`recon.export`.
            ModuleNotFoundError: ``usdz`` without usd-core (the extra ``usd``).
        """
        unknown = [name for name in formats if name not in FORMATS]
        if unknown:
            raise ValueError(f"unknown mesh format {unknown[0]!r}; known: {', '.join(FORMATS)}")
        if "usdz" in formats:
            export.require_usd()
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        mesh = self.mesh(texture_size, neutral=bool(self._morph_names))
        written: list[Path] = []
        weights = {name: value for name, value in self.expression_weights.items() if name in mesh.morph_targets}
        if "glb" in formats:
            written.append(export.write_glb(place / "head.glb", mesh, weights=weights, overwrite=overwrite))
        if "usdz" in formats:
            written.append(export.write_usdz(place / "head.usdz", mesh, weights=weights, overwrite=overwrite))
        posed = dataclasses.replace(mesh, vertices_mm=self.vertices)
        if "obj" in formats:
            written += export.write_obj(place / "head.obj", posed, overwrite=overwrite)
        if "ply" in formats:
            written.append(export.write_ply(place / "head.ply", posed, overwrite=overwrite))
        if "stl" in formats:
            written.append(export.write_stl(place / "head.stl", posed, overwrite=overwrite))
        depth_mm = self.depth_map()
        written.append(export.write_depth_png(place / "depth.png", depth_mm, overwrite=overwrite))
        written.append(export.write_depth_npy(place / "depth.npy", depth_mm, overwrite=overwrite))
        written.append(export.write_normals_png(place / "normals.png", self.normal_map(), overwrite=overwrite))
        # Last, so that a folder with this file is a finished one.
        written.append(export.write_face_json(place / "face.json", self.to_dict(), overwrite=overwrite))
        return written

    @property
    def _morph_names(self) -> tuple[str, ...]:
        """Expressions that become morph targets: viewers expect weights in [0, 1]."""
        return tuple(self.model.expression_names) if self.model.expression_prior == "unit" else ()

    @functools.cached_property
    def _vertices(self) -> Float[Tensor, "1 v 3"]:
        return self.model.shape(self.identity, self.expression)

    @functools.cached_property
    def _window(self) -> tuple[tuple[slice, slice], Render]:
        """The part of the photo that the head covers, and the head rendered there."""
        v_px = self.camera.to_pixels(self.camera.to_camera(self._vertices))[0]
        height, width = self.photo.pixels.shape[:2]
        left, top = (v_px.min(dim=0).values - 2.0).floor().long().tolist()
        right, bottom = (v_px.max(dim=0).values + 2.0).ceil().long().tolist()
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        right, bottom = max(min(right, width), left + 1), max(min(bottom, height), top + 1)
        mesh = Mesh.of(
            self._vertices,
            Topology.of(self.model.faces, self.model.n_vertices),
            self.model.albedo(self.albedo_coefficients),
        )
        with torch.no_grad():
            rendered = render(
                mesh, self.camera.cropped(float(left), float(top)), self.lighting, (bottom - top, right - left)
            )
        return (slice(top, bottom), slice(left, right)), rendered

    def _composite(self, ground: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        box, rendered = self._window
        mask = rendered.mask[0, 0].clamp(0.0, 1.0).numpy()[..., None]
        # The picture is already weighed by coverage over black.
        colour = rendered.image[0].permute(1, 2, 0) / rendered.mask[0, 0, ..., None].clamp_min(1e-4)
        code_values = encode_srgb(colour, self.model.albedo_space).numpy() * 255.0
        result = ground.copy()
        result[box] = (mask * code_values + (1.0 - mask) * result[box]).round().clip(0, 255).astype(np.uint8)
        return result


def _or_none(value: float) -> float | None:
    """JSON knows no nan."""
    return None if math.isnan(value) else value
