"""Small data sets in the layouts of the protocols, whose truth is that of known heads."""

import numpy as np
import scipy.io
from PIL import Image

from recon.datasets.pose_conventions import angles_to_matrix
from recon.evaluation.aflw21 import aflw21_px
from recon.evaluation.protocols.alignment import points_px
from recon.export import ExportMesh, write_ply
from recon.io.image import read_image

YAWS = {"a": 5.0, "b": -20.0, "c": 40.0, "d": -75.0, "e": 62.0}


def write_photo(path, size=(180, 240)):
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)


def angles_of(name):
    return np.array([YAWS[name], 8.0, -4.0])


def first_letter(photo):
    return photo.source.replace("\\", "/").split("/")[-1][0]


def write_aflw(folder, make_head):
    """Five pictures whose true points are those of a known head; of the 21 points two are hidden."""
    for name in YAWS:
        write_photo(folder / f"{name}.png")
        head = make_head(read_image(folder / f"{name}.png"), angles_to_matrix(angles_of(name), "300wlp"))
        pose = np.deg2rad(angles_of(name))[[1, 0, 2]]
        points = points_px(head) + [0.0, 0.0, 33.0]
        points21 = aflw21_px(head).T
        points21[:, [3, 12]] = -1.0
        content = {"pt3d_68": points.T, "pt2d": points21, "Pose_Para": np.array([[*pose, 0.0, 0.0, 0.0, 1.0]])}
        scipy.io.savemat(folder / f"{name}.mat", content)
    return folder


def write_scans(folder, parts, model):
    """Two people with a scan each, in frames of their own."""
    for number in range(2):
        place = folder / f"person{number}"
        (place / "indoor").mkdir(parents=True)
        identity = np.random.default_rng(number).normal(size=model.n_identity)
        head = parts.head(parts.vertices(identity))
        turn, shift = angles_to_matrix(np.array([30.0, 50.0, 70.0 * number])), np.array([10.0, -200.0, 4.0])
        vertices = head.surface.vertices @ turn.T + shift
        write_ply(place / "scan.ply", ExportMesh(vertices.astype(np.float32), head.surface.faces))
        marks = head.landmarks @ turn.T + shift
        (place / "landmarks.txt").write_text("\n".join(" ".join(f"{x:.5f}" for x in row) for row in marks))
        write_photo((place, place / "indoor")[number] / f"{number}.png")
    return folder
