"""The surface that `recon depth --mesh` lays through a photo's depth, against the head that a fit finds in the same photo.

The photo is that of `recon demo` unless others are named. Both take the focal length that the fit found. The face is what the fitted
head's region "face" covers in the photo; its skin is the part of it that the fit's segmenter does not take for hair or background.

- closed: the share of the face's pixels whose ray meets the mesh from its front side, the holes (edges that one triangle has, in
  loops other than the rim of the whole mesh) that reach into the face, and edges that more than two triangles share;
- spikes: how far vertices lie from the depth map as a surface (two triangles between four pixels), the longest edge, and the turn
  between triangles that share an edge;
- distance: of the mesh's vertices on skin from the nearest point of the fitted head: as both are; after the mesh was scaled about the
  camera (which leaves its picture as it is) so that the median depths of the skin are one; and after the best similarity, which
  also takes away by how much they disagree about the head's turn.

python benchmarks/depth_mesh.py -o meshes [--photos FILE ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table
from scipy import sparse

from recon import Reconstructor
from recon.alignment import fit_similarity
from recon.camera import PosedCamera
from recon.color import encode_srgb, srgb_to_linear
from recon.evaluation.scans.triangles import TriangleSurface
from recon.export import write_file
from recon.export.mesh import ExportMesh, face_normals
from recon.inference.depth import DepthEstimator, FaceDepth
from recon.inference.depth_mesh import head_mesh
from recon.io.image import Photo, read_image
from recon.io.png import encode_png
from recon.lighting import ambient
from recon.reconstruction import Reconstruction
from recon.render import Mesh, Texture, Topology, render
from recon.texturing.unproject import PhotographedHead, TextureUnprojection
from recon.texturing.visible_skin import VisibleSkin
from recon.visualize.label import with_label
from recon.visualize.model_sheet import portrait_camera, studio_lighting

YAWS_DEG = (-70.0, -35.0, 0.0, 35.0, 70.0)
_TILE_PX = 448
_CLAY = 0.42
_ROUNDS = 30


@dataclasses.dataclass(frozen=True, eq=False)
class SeenFace:
    """The face in the photo by the fitted head.

    Attributes:
        camera: of the photo, without a pose.
        pixels: ``(H, W)`` where the face is.
        skin: ``(H, W)`` where its skin is seen.
        depth_mm: ``(H, W)`` of the fitted head, nan off it.
        surface: the fitted head in the camera frame.
    """

    camera: PosedCamera
    pixels: np.ndarray
    skin: np.ndarray
    depth_mm: np.ndarray
    surface: TriangleSurface

    @classmethod
    def of(cls, head: Reconstruction) -> SeenFace:
        v_cam = head.camera.to_camera(torch.as_tensor(head.vertices)[None]).detach()
        camera = head.camera.with_pose(torch.eye(3)[None], torch.zeros(1, 3))
        size = (int(head.photo.pixels.shape[0]), int(head.photo.pixels.shape[1]))
        ids, depth_mm = _drawn(v_cam, head.model.faces, camera, size)
        on_face = head.model.region("face")[head.model.faces].all(dim=1).numpy()
        pixels = (ids >= 0) & on_face[ids.clip(0)]
        surface = TriangleSurface(v_cam[0].double().numpy(), head.model.faces.numpy())
        return cls(camera, pixels, pixels & skin_of(head), depth_mm, surface)

    def holds(self, v_cam: np.ndarray, where: np.ndarray) -> np.ndarray:
        """``(V,)`` whether points lie on pixels of a mask ``(H, W)``."""
        px = self.camera.to_pixels(torch.as_tensor(v_cam, dtype=torch.float32)[None])[0].numpy().astype(int)
        height, width = where.shape
        inside = (px >= 0).all(axis=1) & (px[:, 0] < width) & (px[:, 1] < height)
        column, row = px.clip(0, (width - 1, height - 1)).T
        return inside & where[row, column]


def skin_of(head: Reconstruction) -> np.ndarray:
    """``(H, W)`` where the fit's segmenter sees skin."""
    albedo = head.model.albedo(head.albedo_coefficients)
    vertices = torch.as_tensor(head.vertices)[None]
    shown = PhotographedHead(head.model, vertices, albedo, head.lighting, head.camera, head.photo.pixels)
    skin = VisibleSkin.of(TextureUnprojection.of(shown), head.segmenter)
    height, width = head.photo.pixels.shape[:2]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    inside = skin.encloses(torch.stack((x, y), dim=-1).view(-1, 2))
    return np.asarray(inside.view(height, width).numpy())


def depth_surface(found: FaceDepth) -> TriangleSurface:
    """The depth map as a surface: two triangles between each four pixels that have depth."""
    seen = np.isfinite(found.depth_mm)
    number = np.where(seen, np.cumsum(seen).reshape(seen.shape) - 1, -1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    whole = (a >= 0) & (b >= 0) & (c >= 0) & (d >= 0)
    triangles = [np.stack([corner[whole] for corner in three], axis=1) for three in ((a, c, b), (b, c, d))]
    return TriangleSurface(found.points()[0], np.concatenate(triangles))


def aligned(source: np.ndarray, surface: TriangleSurface) -> np.ndarray:
    """Points after the similarity that brings them nearest to a surface, by iterated closest points."""
    moved = source
    for _ in range(_ROUNDS):
        moved = fit_similarity(source, surface.closest(moved).points).apply(source)
    return moved


def _drawn(
    v_cam: torch.Tensor, faces: torch.Tensor, camera: PosedCamera, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The triangle that each pixel shows, -1 for none, and its planar depth, nan for none."""
    mesh = Mesh.of(v_cam.float(), faces)
    seen = render(mesh, camera, ambient(torch.ones(1, 3)), size)
    ids = seen.triangle_ids[0].numpy().reshape(size)
    return ids, np.where(ids >= 0, seen.depth_mm[0, 0].numpy(), np.nan)


def holes_in(mesh: ExportMesh, face: SeenFace) -> tuple[int, int]:
    """Holes of a mesh that lie, even in part, within the face, and edges that more than two triangles share."""
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, counts = np.unique(edges, axis=0, return_counts=True)
    rim = pairs[counts == 1]
    if not len(rim):
        return 0, int((counts > 2).sum())
    n = len(mesh.vertices_mm)
    graph = sparse.csr_matrix((np.ones(len(rim)), rim.T), shape=(n, n))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    length = np.bincount(label[rim[:, 0]], minlength=label.max() + 1)
    ends = np.unique(rim)
    within = np.unique(label[ends[face.holds(mesh.vertices_mm[ends], face.pixels)]])
    return int((within != length.argmax()).sum()), int((counts > 2).sum())


def steepest_turn_deg(mesh: ExportMesh, kept: np.ndarray) -> tuple[float, float]:
    """99.9 % and maximum of the angles between triangles that share an edge, both kept."""
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys = edges[:, 0].astype(np.int64) * len(mesh.vertices_mm) + edges[:, 1]
    order = np.argsort(keys, kind="stable")
    same = np.nonzero(keys[order][1:] == keys[order][:-1])[0]
    one, other = order[same] // 3, order[same + 1] // 3
    both = kept[one] & kept[other]
    normals = face_normals(mesh)
    cosine = (normals[one[both]] * normals[other[both]]).sum(axis=1).clip(-1.0, 1.0)
    turn = np.degrees(np.arccos(cosine))
    return float(np.percentile(turn, 99.9)), float(turn.max())


def measured(mesh: ExportMesh, found: FaceDepth, face: SeenFace) -> list[tuple[str, str]]:
    """All numbers of a mesh, by name."""
    v_cam = np.asarray(mesh.vertices_mm, dtype=np.float64)
    faces = torch.as_tensor(mesh.faces.astype(np.int64))
    size = (int(face.pixels.shape[0]), int(face.pixels.shape[1]))
    ids, depth_mm = _drawn(torch.from_numpy(v_cam)[None], faces, face.camera, size)
    centres = v_cam[mesh.faces].mean(axis=1)
    ahead = (face_normals(mesh) * centres).sum(axis=1) < 0.0
    met = face.pixels & (ids >= 0)
    front = met & ahead[ids.clip(0)]
    holes, shared = holes_in(mesh, face)
    within, on_skin = face.holds(v_cam, face.pixels), face.holds(v_cam, face.skin)
    away = depth_surface(found).closest(v_cam).distance
    lengths = np.linalg.norm(v_cam[mesh.faces] - v_cam[mesh.faces[:, [1, 2, 0]]], axis=2)
    turn, turn_most = steepest_turn_deg(mesh, within[mesh.faces].all(axis=1))
    rows = [
        ("vertices, triangles", f"{len(v_cam)}, {len(mesh.faces)}"),
        ("pixels of the face, of its skin", f"{int(face.pixels.sum())}, {int(face.skin.sum())}"),
        ("of them met by the mesh, %", f"{100.0 * met.sum() / face.pixels.sum():.2f}"),
        ("of them from its front side, %", f"{100.0 * front.sum() / face.pixels.sum():.2f}"),
        ("holes within the face", str(holes)),
        ("edges of more than two triangles", str(shared)),
        ("vertex to the depth map, face, 99.9 % and most, mm", _two(away[within])),
        ("vertex to the depth map, whole, 99.9 % and most, mm", _two(away)),
        ("longest edge, mm", f"{lengths.max():.2f}"),
        ("turn between triangles, face, 99.9 % and most, deg", f"{turn:.0f}, {turn_most:.0f}"),
    ]
    both = met & face.skin & np.isfinite(face.depth_mm)
    ratio = float(np.median(face.depth_mm[both]) / np.median(depth_mm[both]))
    mine = v_cam[on_skin]
    placed = {
        "as they are": mine,
        "after median scale": ratio * mine,
        "after a similarity": aligned(ratio * mine, face.surface),
    }
    for name, points in placed.items():
        distance = face.surface.closest(points).distance
        numbers = f"{distance.mean():.2f}, {np.median(distance):.2f}, {np.percentile(distance, 95.0):.2f}"
        rows.append((f"skin from the fitted head, {name}: mean, median, 95 %, mm", numbers))
    rows.append(("that scale", f"{ratio:.4f}"))
    return rows


def _two(values: np.ndarray) -> str:
    return f"{np.percentile(values, 99.9):.2f}, {values.max():.2f}"


def views(mesh: ExportMesh) -> np.ndarray:
    """The mesh from five sides, with the photo on it and as clay."""
    vertices = torch.from_numpy(np.asarray(mesh.vertices_mm, dtype=np.float32))
    faces = torch.from_numpy(mesh.faces.astype(np.int64))
    low, high = vertices.amin(dim=0), vertices.amax(dim=0)
    middle, height = 0.5 * (low + high), 1.1 * float((high - low)[:2].max())
    clay = torch.full((1, len(vertices), 3), _CLAY)
    rows = [[_view(vertices - middle, faces, clay, studio_lighting(), (yaw, height)) for yaw in YAWS_DEG]]
    if mesh.texture is not None and mesh.uv is not None and mesh.uv_faces is not None:
        image = torch.from_numpy(mesh.texture.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
        uv_faces = torch.from_numpy(mesh.uv_faces.astype(np.int64))
        texture = Texture(srgb_to_linear(image), torch.from_numpy(np.asarray(mesh.uv, dtype=np.float32)), uv_faces)
        even = ambient(torch.ones(1, 3))
        rows.insert(0, [_view(vertices - middle, faces, texture, even, (yaw, height)) for yaw in YAWS_DEG])
    labelled = [
        [with_label(tile, f"yaw {yaw:+.0f}", 18) for tile, yaw in zip(row, YAWS_DEG, strict=True)] for row in rows
    ]
    return np.concatenate([np.concatenate(row, axis=1) for row in labelled])


@torch.no_grad()
def _view(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    albedo: torch.Tensor | Texture,
    light: torch.Tensor,
    view: tuple[float, float],
) -> np.ndarray:
    """One side; ``view`` is the yaw in degrees and the height in mm that fills the picture."""
    size = 2 * _TILE_PX
    mesh = Mesh.of(vertices[None], Topology.of(faces, len(vertices)), albedo)
    camera = portrait_camera(view[1], (view[0], 0.0), size)
    image = render(mesh, camera, light, (size, size), torch.full((1, 3, 1, 1), 0.75)).image
    reduced = torch.nn.functional.avg_pool2d(image.clamp(0.0, 1.0), 2)
    return np.asarray((255.0 * encode_srgb(reduced, "linear")[0]).round().byte().permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="where pictures go")
    parser.add_argument("--photos", type=Path, nargs="+", help="instead of the demo's")
    parser.add_argument("--quality", default="default", help="of the fit [default]")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print_header(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.photos is None:
        from skimage.data import astronaut

        photos = {"astronaut": Photo(astronaut())}
    else:
        photos = {path.stem: read_image(path) for path in options.photos}
    reconstruct, estimate = Reconstructor(quality=options.quality), DepthEstimator()
    for name, photo in photos.items():
        head = reconstruct.fit_face(photo, reconstruct.detect(photo)[0])
        found = estimate(photo, head.face, float(head.camera.focal_px[0, 0]))
        began = time.perf_counter()
        mesh = head_mesh(found)
        seconds = time.perf_counter() - began
        rows = [*measured(mesh, found, SeenFace.of(head)), ("seconds to make it", f"{seconds:.1f}")]
        print_table(f"mesh of the network's depth, {name}", ["", "figure"], rows)
        v_cam = head.camera.to_camera(torch.as_tensor(head.vertices)[None])[0].numpy()
        for what, shown in (("network", mesh), ("fit", ExportMesh(v_cam, head.model.faces.numpy()))):
            write_file(options.out / f"{name}_{what}.png", encode_png(views(shown)), overwrite=True)


if __name__ == "__main__":
    main()
