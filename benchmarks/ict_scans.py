"""Photos and scans of people that the open model has never seen, in the layout of ``recon evaluate scans``.

    python benchmarks/ict_scans.py --ict DIR -o ict_scans [--subjects 10]
    python benchmarks/ict_scans.py --ict DIR -o ict_traced --engine cycles --subjects 24 --photos 1 --samples 8
    recon evaluate scans --data ict_traced --rules micc,now -o report

Each subject is an ICT-FaceKit identity with N(0, 1) coefficients, whose components come from real scans. Its scan is the
neutral head in a random frame; its photos are drawings of it, painted with a random albedo of the open model (ICT-FaceKit
has none): ``cooperative`` from the front, neutral, in even light; ``indoor`` turned by up to 25 degrees with a slight
expression; ``outdoor`` turned by up to 45 degrees in hard light with a stronger one. Drawings are not photos: figures from
them say whether shape is found at all, not how well it would be found in the world.

With ``--engine cycles`` (needs Blender's bpy) the same heads in the same poses are path-traced: light spreads below the skin,
highlights, pores and cast shadows are there, and they are lit by invented rooms with lamps of their own, which the fit's nine
coefficients cannot hold. Photos that are there already are kept, so a run that was cut short goes on. Of a denoised picture 8
paths a pixel are 1.4 code values from 24, less than the camera's noise, in 16 seconds of one core instead of 35.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

import bfm
from bfm.data import ModelData
from bfm.loaders import ict
from bfm.surface import SurfaceTree
from recon.alignment import fit_similarity
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.evaluation.scans.scan import LANDMARKS_OF_68
from recon.export import ExportMesh, write_file, write_ply
from recon.io.png import encode_png
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix
from recon.synthesis import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.cycles import materials
from recon.synthesis.cycles.blender import load_bpy
from recon.synthesis.cycles.engine import CyclesSettings, path_traced
from recon.synthesis.cycles.geometry import add_camera, add_mesh
from recon.synthesis.cycles.lamps import add_lights
from recon.synthesis.sample import intrinsic_matrix
from recon.synthesis.scene.lights import sample_lights

SEED = 2024
SIZE_PX = 512
FOCAL_PX = 1400.0
DRAWN = ("face", "head_neck", "mouth_socket", "gums_tongue", "teeth", "eyes", "eye_sockets")
SCANNED = ("face", "head_neck")
TEETH, GUMS = (0.72, 0.68, 0.6), (0.35, 0.12, 0.11)


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a photo of one kind is taken: largest yaw and pitch, strength of the expression and of the lamp."""

    name: str
    yaw_deg: float
    pitch_deg: float
    expression: float
    lamp: float


SETTINGS = (
    Setting("cooperative", 4.0, 3.0, 0.0, 0.9),
    Setting("indoor", 25.0, 10.0, 0.3, 1.3),
    Setting("outdoor", 45.0, 15.0, 0.5, 2.2),
)
ACTED = (
    "mouthSmileLeft",
    "mouthSmileRight",
    "jawOpen",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "mouthPucker",
    "cheekSquintLeft",
)


@dataclasses.dataclass(frozen=True)
class Painter:
    """Carries albedo of the open model to ICT's vertices by nearest points of the aligned mean heads."""

    model: bfm.MorphableModel
    triangles: np.ndarray
    barycentrics: np.ndarray
    fixed: np.ndarray

    @classmethod
    def of(cls, model: bfm.MorphableModel, subjects: ModelData) -> Painter:
        ours = model.data()
        marks = subjects.landmarks["68"].at(subjects.mean_shape, subjects.faces)
        to_ours = fit_similarity(
            marks.astype(np.float64), ours.landmarks["68"].at(ours.mean_shape, ours.faces).astype(np.float64)
        )
        placed = to_ours.apply(subjects.mean_shape.astype(np.float64))
        eyes = subjects.regions["eyes"]
        triangles = np.zeros(len(placed), dtype=np.int64)
        barycentrics = np.zeros((len(placed), 3))
        for side in (-1.0, 1.0):
            # Eyeballs are laid on eyeballs, so that iris meets iris.
            part = eyes & (placed[:, 0] * side > 0.0)
            goal = ours.regions["left_eye" if side > 0.0 else "right_eye"]
            shift = ours.mean_shape[goal].mean(axis=0) - placed[part].mean(axis=0)
            _nearest(ours, goal, placed + shift, part, triangles, barycentrics)
        # The dark seam between the open model's lips would land on ICT's, which close elsewhere.
        seam = ours.regions["lips"] & (
            ours.mean_albedo[:, 0] < 0.85 * np.median(ours.mean_albedo[ours.regions["lips"], 0])
        )
        _nearest(ours, ours.regions["skin"] & ~seam, placed, ~eyes, triangles, barycentrics)
        fixed = np.full((len(placed), 3), np.nan)
        fixed[subjects.regions["teeth"]] = TEETH
        fixed[subjects.regions["gums_tongue"] | subjects.regions["mouth_socket"]] = GUMS
        return cls(model, triangles, barycentrics, fixed)

    def albedo(self, coefficients: np.ndarray) -> np.ndarray:
        weights = torch.as_tensor(coefficients, dtype=torch.float32)[None]
        albedo = self.model.albedo(weights)[0].double().numpy()
        corners = albedo[self.model.faces.numpy()[self.triangles]]
        sampled = np.einsum("nk,nkc->nc", self.barycentrics, corners)
        return np.where(np.isnan(self.fixed), sampled, self.fixed)


def _nearest(
    ours: ModelData,
    region: np.ndarray,
    points: np.ndarray,
    part: np.ndarray,
    triangles: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Fill in nearest triangles and barycentrics of the points of one part."""
    rows = np.nonzero(region[ours.faces].all(axis=1))[0]
    found = SurfaceTree(ours.mean_shape, ours.faces[rows]).query(points[part])
    triangles[part], weights[part] = rows[found.triangles], found.barycentrics


def background(rng: np.random.Generator) -> torch.Tensor:
    """Soft colours."""
    coarse = torch.as_tensor(rng.uniform(0.05, 0.6, (1, 3, 5, 5)), dtype=torch.float32)
    return torch.nn.functional.interpolate(coarse, (SIZE_PX, SIZE_PX), mode="bicubic", align_corners=True).clamp(0, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """One photo before it is taken; all of its random numbers but the noise's are sampled.

    Attributes:
        setting: of its kind.
        v_obj: ``(V, 3)`` about its middle, mm.
        albedo: ``(V, 3)`` linear.
        camera: with the pose.
        lamp: ``(1, 1, 3)`` direction towards it.
        behind: ``(1, 3, S, S)`` linear.
        number: of the photo, the seed of path tracing's samples.
    """

    setting: Setting
    v_obj: torch.Tensor
    albedo: torch.Tensor
    camera: PerspectiveCamera
    lamp: torch.Tensor
    behind: torch.Tensor
    number: int

    @classmethod
    def sampled(
        cls, vertices: np.ndarray, albedo: np.ndarray, setting: Setting, rng: np.random.Generator, number: int
    ) -> Take:
        pitch, yaw, roll = rng.uniform(-1, 1, 3) * [setting.pitch_deg, setting.yaw_deg, 5.0]
        rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[pitch, yaw, roll]])).float())
        translation = torch.tensor([[*rng.uniform(-20, 20, 2), -rng.uniform(800, 1100)]]).float()
        focal_px = torch.full((1, 2), FOCAL_PX)
        camera = PerspectiveCamera.at(rotation, translation, size=(SIZE_PX, SIZE_PX), focal_px=focal_px)
        lamp = torch.tensor([[[rng.uniform(-0.8, 0.8), rng.uniform(0.2, 0.8), 0.9]]]).float()
        v_obj = torch.as_tensor(vertices - vertices.mean(axis=0), dtype=torch.float32)
        return cls(setting, v_obj, torch.as_tensor(albedo, dtype=torch.float32), camera, lamp, background(rng), number)


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """A photo of a person before it is taken.

    Attributes:
        name: its path below the person's folder.
        acting: ``(V, 3)`` the head with its expression, object frame, mm.
        take: all else that is sampled.
        noise: ``(S, S, 3)`` of the camera, code values.
    """

    name: str
    acting: np.ndarray
    take: Take
    noise: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    """An identity of ICT-FaceKit with its photos.

    Attributes:
        name: of its folder.
        neutral: ``(V, 3)`` object frame, mm.
        scanned: ``(V, 3)`` the same in the scanner's frame.
        shots: of all kinds.
    """

    name: str
    neutral: np.ndarray
    scanned: np.ndarray
    shots: tuple[Shot, ...]


def sampled_people(subjects: ModelData, painter: Painter, count: int, photos: int) -> Iterator[Person]:
    """The people of this set, always the same.

    Args:
        subjects: ICT-FaceKit.
        painter: of their skin.
        count: people.
        photos: of each kind; another number makes other people.
    """
    rng, numbers = np.random.default_rng(SEED), itertools.count()
    for number in range(count):
        identity = rng.normal(size=subjects.identity_basis.shape[2])
        neutral = (subjects.mean_shape + subjects.identity_basis @ identity).astype(np.float64)
        albedo = painter.albedo(rng.normal(size=painter.model.n_albedo) * 0.8)
        frame = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
        scanned = neutral @ frame.T + rng.uniform(-200, 200, 3)
        shots = []
        for setting in SETTINGS:
            for k in range(photos):
                acting = acted(neutral, subjects, setting.expression, rng)
                take = Take.sampled(acting, albedo, setting, rng, next(numbers))
                noise = rng.normal(0.0, 1.5, (SIZE_PX, SIZE_PX, 3))
                shots.append(Shot(f"{setting.name}/{k}.png", acting, take, noise))
        yield Person(f"subject{number:02d}", neutral, scanned, tuple(shots))


def kept_shots(folder: Path, subjects: ModelData) -> Iterator[tuple[Person, Shot, Path]]:
    """The photos in a folder that this script wrote, each with its person and all that was sampled for it."""
    written = json.loads((folder / "scans.json").read_text())
    count = len(list(folder.glob("subject*")))
    for person in sampled_people(subjects, Painter.of(bfm.load("open"), subjects), count, written["photos"]):
        for shot in person.shots:
            if (folder / person.name / shot.name).exists():
                yield person, shot, folder / person.name / shot.name


def acted(neutral: np.ndarray, subjects: ModelData, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The neutral head with a random expression."""
    weights = np.zeros(len(subjects.expression_names))
    for name in ACTED:
        if name in subjects.expression_names:
            weights[subjects.expression_names.index(name)] = strength * rng.uniform(0, 1)
    return neutral + subjects.expression_basis @ weights


class Rasterised:
    """Takes photos with our own renderer: albedo under distant light."""

    def __init__(self, subjects: ModelData, faces: np.ndarray, settings: CyclesSettings) -> None:
        self.topology = Topology.of(torch.as_tensor(faces), len(subjects.mean_shape))

    @torch.no_grad()
    def photo(self, take: Take) -> torch.Tensor:
        """``(1, 3, S, S)`` linear."""
        light = ambient(torch.full((1, 3), 0.5)) + lamps_to_sh(take.lamp, torch.full((1, 1, 3), take.setting.lamp))
        mesh = Mesh.of(take.v_obj[None], self.topology, take.albedo[None])
        side = take.behind.shape[-1]
        return render(mesh, take.camera, light, (side, side), take.behind).image


class PathTraced:
    """Takes photos with Cycles: subsurface skin and wet eyes in an invented room. Their size is that of the background."""

    def __init__(self, subjects: ModelData, faces: np.ndarray, settings: CyclesSettings) -> None:
        self.settings = settings
        self.bpy, self.faces, self.rest = load_bpy(), faces, subjects.mean_shape.astype(np.float64)
        eyes = subjects.regions["eyes"][faces].all(axis=1)
        inside = np.any([subjects.regions[name] for name in ("teeth", "gums_tongue", "mouth_socket")], axis=0)
        self.material_of = np.where(eyes, 1, np.where(inside[faces].all(axis=1), 2, 0)).astype(np.int32)

    @torch.no_grad()
    def photo(self, take: Take) -> torch.Tensor:
        """``(1, 3, S, S)`` linear."""
        bpy, config, side = self.bpy, SynthesisConfig(), take.behind.shape[-1]
        bpy.ops.wm.read_factory_settings(use_empty=True)
        camera = take.camera
        add_camera(bpy, intrinsic_matrix(camera.focal_px, camera.principal_px)[0].double().numpy(), (side, side))
        v_cam = camera.to_camera(take.v_obj[None])[0].double().numpy()
        kinds = [materials.skin(bpy, "skin", config), *(materials.wet(bpy, n, config, r) for n, r in WET)]
        rng = CounterRng.of(SEED, [take.number])
        colour = np.concatenate((take.albedo.numpy(), np.ones((len(v_cam), 1), np.float32)), axis=1)
        point = {"albedo": colour, "rest": self.rest + 32.0 * rng.uniform("skin place", 3).numpy()}
        segment = np.zeros((len(self.faces), 1))
        add_mesh(
            bpy, "head", v_cam, self.faces, kinds, point=point, face={"segment": segment}, material_of=self.material_of
        )
        level = take.albedo[self.faces[self.material_of == 0].ravel()].mean()[None]
        lights = sample_lights(rng, 1.0, 1.0, camera.rotation[:, :, 2], level, None)
        add_lights(bpy, lights, rng, v_cam.mean(axis=0), shadows=True)
        seen = torch.as_tensor(path_traced(bpy, self.settings, take.number))
        return (seen[:3] + (1.0 - seen[3:]) * take.behind[0])[None]


ENGINES = {"raster": Rasterised, "cycles": PathTraced}
WET = (("eyes", 0.03), ("mouth", 0.18))
"""Materials beside the skin, and the roughness of the film on them."""


def developed(linear: torch.Tensor, noise: np.ndarray) -> np.ndarray:
    """What a camera makes of linear light: code values with noise, ``(S, S, 3)`` uint8."""
    shown = encode_srgb(linear, "linear")[0].permute(1, 2, 0).numpy()
    return (255.0 * shown + noise).round().clip(0, 255).astype(np.uint8)


def begin(folder: Path, engine: str, photos: int, samples: int) -> None:
    """Refuse a folder of other photos: the people in it would be others, too.

    Raises:
        SystemExit: it holds them.
    """
    wanted = {"engine": engine, "photos": photos, "seed": SEED, "side_px": SIZE_PX}
    if engine == "cycles":
        wanted["samples"] = samples
    description = folder / "scans.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not description.exists():
        if any(folder.iterdir()):
            raise SystemExit(f"{folder} holds files of something else; give another folder")
        write_file(description, json.dumps(wanted).encode())
    found = json.loads(description.read_text())
    if found != wanted:
        raise SystemExit(f"{folder} holds photos made with {found}, asked for are {wanted}; give another folder")


def visible_faces(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The triangles that a scanner going round the head sees: without insides of nostrils, lips and lids.

    It looks a little from below, to see the chin, but not into the nostrils.
    """
    topology = Topology.of(torch.as_tensor(faces), len(vertices))
    centred = torch.as_tensor(vertices - vertices.mean(axis=0), dtype=torch.float32)[None]
    touched = np.zeros(len(vertices), dtype=bool)
    for yaw in range(-80, 81, 20):
        for pitch in (-10, 0, 30):
            rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[float(pitch), float(yaw), 0.0]])))
            camera = PerspectiveCamera.at(rotation, size=(768, 768), focal_px=torch.full((1, 2), 2000.0))
            ids = render(
                Mesh.of(centred, topology, torch.ones(1, len(vertices), 3)),
                camera,
                ambient(torch.ones(1, 3)),
                (768, 768),
            ).triangle_ids
            touched[faces[np.unique(ids[ids >= 0].numpy())]] = True
    return faces[touched[faces].all(axis=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", type=Path, required=True, help="ICT-FaceKit's repository or its FaceXModel folder")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--engine", choices=ENGINES, default="raster", help="what renders the photos [raster]")
    parser.add_argument("--photos", type=int, default=2, help="of each kind [2]")
    kinds = [setting.name for setting in SETTINGS]
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=kinds,
        default=kinds,
        help="which photos to take; fewer leave the others as they are",
    )
    parser.add_argument("--samples", type=int, default=24, help="paths a pixel of Cycles [24]")
    options = parser.parse_args()
    begin(options.out, options.engine, options.photos, options.samples)
    subjects = ict.load(options.ict)
    model = bfm.load("open")
    if model.albedo_space != "linear":
        parser.error("the open model's albedo is expected to be linear")
    painter = Painter.of(model, subjects)
    keep = np.any([subjects.regions[name] for name in DRAWN], axis=0)
    engine = ENGINES[options.engine](
        subjects, subjects.faces[keep[subjects.faces].all(axis=1)], CyclesSettings(samples=options.samples)
    )
    seen = np.any([subjects.regions[name] for name in SCANNED], axis=0)
    with torch.no_grad():
        scan_faces = visible_faces(subjects.mean_shape, subjects.faces[seen[subjects.faces].all(axis=1)])
    for person in sampled_people(subjects, painter, options.subjects, options.photos):
        place = options.out / person.name
        marks = subjects.landmarks["68"].at(person.scanned, subjects.faces)[list(LANDMARKS_OF_68)]
        place.mkdir(parents=True, exist_ok=True)
        used = np.unique(scan_faces)
        renumbered = np.zeros(len(person.scanned), dtype=np.int64)
        renumbered[used] = np.arange(len(used))
        scan = ExportMesh(person.scanned[used].astype(np.float32), renumbered[scan_faces])
        write_ply(place / "scan.ply", scan, overwrite=True)
        text = "".join(f"{x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in marks)
        write_file(place / "landmarks.txt", text.encode(), overwrite=True)
        for shot in person.shots:
            path = place / shot.name
            if shot.take.setting.name in options.kinds and (options.engine == "raster" or not path.exists()):
                path.parent.mkdir(exist_ok=True)
                write_file(path, encode_png(developed(engine.photo(shot.take), shot.noise)), overwrite=True)
        print(f"{place}: scan, landmarks, {len(options.kinds) * options.photos} photos", flush=True)


if __name__ == "__main__":
    main()
