"""Path tracing: what needs no Blender, with stand-ins; and Blender itself, slow and only where bpy is installed."""

import importlib.util
import math
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recon.cli import main
from recon.lighting import ambient, environment_directions, lamps_to_sh, sh_basis
from recon.synthesis import SEGMENT_NAMES, FaceSampler, SynthesisConfig, SynthesisConfigError
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.cycles import (
    BlenderError,
    CyclesSampler,
    CyclesSettings,
    engine,
    geometry,
    lamps,
    load_bpy,
    materials,
)
from recon.synthesis.cycles.strands import grow
from recon.synthesis.scene.lights import Lights

_SIZE = (90, 120)
_HAS_BPY = importlib.util.find_spec("bpy") is not None
needs_bpy = pytest.mark.skipif(not _HAS_BPY, reason="bpy is not installed (pip install 'facerecon[blender]')")


def _module(**app):
    options = SimpleNamespace(cycles=app.pop("cycles", True))
    return SimpleNamespace(app=SimpleNamespace(build_options=options, **app), __file__="somewhere")


def _missing(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _broken(name):
    raise ImportError("libSM.so.6: cannot open shared object file")


@pytest.mark.parametrize(
    ("find", "python", "message"),
    [
        (_missing, (3, 11), r"not installed: run pip install 'facerecon\[blender\]'"),
        (_missing, (3, 12), r"for Python 3\.11 only, and this is Python 3\.12"),
        (_broken, (3, 11), r"does not load: libSM\.so\.6"),
        (lambda name: SimpleNamespace(__file__="x"), (3, 11), "is not Blender's: uninstall it"),
        (lambda name: _module(version=(4, 2, 1)), (3, 11), r"Blender 4\.2\.1 is too old"),
        (lambda name: _module(version=(5, 0, 1), cycles=False), (3, 11), "built without Cycles"),
    ],
)
def test_missing_and_unusable_blenders_say_what_to_do(find, python, message):
    with pytest.raises(BlenderError, match=message):
        load_bpy(find, python)


def test_a_usable_blender_is_taken_whatever_the_python():
    module = _module(version=(5, 1, 0))
    assert load_bpy(lambda name: module, (3, 13)) is module


def test_the_command_stops_before_it_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bpy", None)
    out = tmp_path / "a"
    assert main(["synthesize", "-o", str(out), "--count", "2", "--engine", "cycles"]) == 1
    assert "needs Blender's module bpy" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples must be a whole number from 1 to 65536, got 0"),
        ({"bounces": 65}, "bounces must be a whole number"),
        ({"lamps": ("SUN",)}, "lamps must be two of AREA, SUN, POINT, SPOT"),
        ({"lamps": ("SUN", "MOON")}, "lamps must be two of"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SynthesisConfigError, match=message):
        CyclesSettings(**settings)


def test_the_papers_camera_has_their_lens():
    made = {}
    render = SimpleNamespace()
    scene = SimpleNamespace(render=render, collection=SimpleNamespace(objects=SimpleNamespace(link=lambda o: None)))
    bpy = SimpleNamespace(
        data=SimpleNamespace(
            cameras=SimpleNamespace(new=lambda name: made.setdefault(name, SimpleNamespace())),
            objects=SimpleNamespace(new=lambda name, data: data),
        ),
        context=SimpleNamespace(scene=scene),
    )
    focal = 320.0 / math.tan(math.radians(30.0))
    geometry.add_camera(bpy, np.array([[focal, 0, 330.0], [0, focal, 236.0], [0, 0, 1]]), (480, 640))
    camera = made["camera"]
    assert camera.sensor_width == 36.0
    assert camera.lens == pytest.approx(31.18, abs=0.01)  # mm; 60 degrees on a sensor of 36 mm
    assert (camera.shift_x, camera.shift_y) == pytest.approx((-10 / 640, -4 / 640))
    assert (render.resolution_x, render.resolution_y) == (640, 480)


def test_a_world_picture_is_the_sphere():
    directions = lamps.world_directions(32, 64)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(32, 64), atol=1e-6)
    polar = (torch.arange(32) + 0.5) * (math.pi / 32)
    area = (polar.sin() * (math.pi / 32) * (2 * math.pi / 64))[:, None, None, None]
    basis = sh_basis(directions)
    gram = (area * basis[..., :, None] * basis[..., None, :]).sum(dim=(0, 1))
    assert torch.allclose(gram, torch.eye(9), atol=5e-3)
    right_of_middle, top = directions[16, 40], directions[0, 0]
    assert right_of_middle[0] > 0.5 and right_of_middle[1] < -0.5
    assert top[2] > 0.99


@pytest.fixture(scope="module")
def haired(head_model):
    return FaceSampler(head_model, SynthesisConfig(hair=1.0), seed=3, size=_SIZE)


def test_hairs_grow_on_the_scalp(haired):
    sheet = haired.assets.occluder_grids.hair
    styles = set()
    for index in range(12):
        scene = haired.scene([index])
        if not bool(scene.hairstyles.has_sheet[0]):
            continue
        styles.add(int(scene.hairstyles.style[0]))
        strands = grow(sheet, scene.hairstyles, scene.look_rng, haired.model, scene.v_obj, 400)
        assert strands.points.shape == (400, 14, 3)
        assert np.isfinite(strands.points).all()
        scalp = scene.v_obj[0].numpy()
        roots = np.linalg.norm(strands.points[:, :1] - scalp[None], axis=-1).min(axis=1)
        assert np.quantile(roots, 0.95) < 9.0
        steps = np.linalg.norm(np.diff(strands.points, axis=1), axis=-1)
        assert np.median(steps) > 0.5
        assert np.quantile(steps, 0.99) < 60.0
        assert (np.diff(strands.radius_mm, axis=1) < 0).all()
        again = grow(sheet, scene.hairstyles, scene.look_rng, haired.model, scene.v_obj, 400)
        assert np.array_equal(strands.points, again.points)
    assert len(styles) >= 3


# ---- Blender itself ----


@pytest.fixture(scope="module")
def bpy():
    return load_bpy()


_TILT = torch.tensor([0.36, 0.48, 0.8])


def _plate(bpy, lights, kinds, normal=(0.0, 0.0, 1.0)):
    """Mean colour of a small white plate 500 mm away with this normal."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    geometry.add_camera(bpy, np.array([[100.0, 0, 8], [0, 100.0, 8], [0, 0, 1]]), (16, 16))
    tree = materials._Tree(bpy, "white")
    white = tree.finish(tree.add("BsdfDiffuse", Color=(1.0, 1.0, 1.0, 1.0)).outputs[0])
    across = np.cross((0.0, 1.0, 0.0), normal) / np.linalg.norm(np.cross((0.0, 1.0, 0.0), normal))
    sides = np.stack([across, np.cross(normal, across)])
    corners = 10.0 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) @ sides + (0.0, 0.0, -500.0)
    geometry.add_mesh(bpy, "plate", corners, np.array([[0, 1, 2], [0, 2, 3]]), [white], point={}, face={})
    lamps.add_lights(bpy, lights, CounterRng.of(0, [0]), np.array([0.0, 0, -500]), shadows=True, kinds=kinds)
    with tempfile.TemporaryDirectory() as folder:
        settings = CyclesSettings(samples=64, denoise=False)
        found = engine._rendered(bpy, Path(folder) / "x.exr", lambda: engine._set_up_appearance_pass(bpy, settings, 0))
    return np.array([engine._channel(found, f"Combined.{c}")[7:9, 7:9].mean() for c in "RGB"])


@needs_bpy
@pytest.mark.slow
@pytest.mark.parametrize("kind", lamps.KINDS)
def test_each_kind_of_lamp_gives_its_irradiance(bpy, kind):
    directions, colours = torch.tensor([[[0.6, 0.0, 0.8], [0.0, 0.0, 1.0]]]), torch.zeros(1, 2, 3)
    colours[0, 0] = torch.tensor([1.0, 0.5, 0.25])
    lights = Lights(torch.zeros(1, 9, 3), directions, colours, torch.zeros(1))
    expected = 0.8 * np.array([1.0, 0.5, 0.25]) / math.pi
    assert np.allclose(_plate(bpy, lights, (kind, "SUN")), expected, rtol=0.02)


@needs_bpy
@pytest.mark.slow
@pytest.mark.parametrize(
    "towards", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (-0.6, 0.0, 0.8), (0.0, 0.6, 0.8), (0.0, -0.8, 0.6)]
)
def test_the_world_lights_from_where_it_should(bpy, towards):
    red = torch.tensor([[[1.0, 0.4, 0.0]]])
    surroundings = ambient(torch.full((1, 3), 0.5)) + 0.8 * lamps_to_sh(torch.tensor([[towards]]), red)
    lights = Lights(surroundings, torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1))
    # as Blender gets it: without what rings below zero
    directions, _ = environment_directions(torch.zeros(3, 64, 128))
    clamped = (sh_basis(directions) @ surroundings[0]).clamp_min(0.0)
    polar = (torch.arange(64) + 0.5) * (math.pi / 64)
    area = (polar.sin() * (math.pi / 64) * (2 * math.pi / 128))[:, None, None]
    cosine = (directions @ _TILT)[..., None].clamp_min(0.0)
    expected = (area * cosine * clamped).sum(dim=(0, 1)) / math.pi
    assert np.allclose(_plate(bpy, lights, ("SUN", "SUN"), _TILT.numpy()), expected.numpy(), rtol=0.03)


def _away_from_edges(depth_mm):
    """Pixels whose eight neighbours lie on the head, on one smooth piece of it."""
    inside = torch.nn.functional.max_pool2d(-(depth_mm > 0).float(), 3, stride=1, padding=1) == -1.0
    near = torch.nn.functional.unfold(depth_mm, 3, padding=1).view(1, 9, *depth_mm.shape[2:])
    bend = (near[:, [3, 1]] + near[:, [5, 7]] - 2.0 * depth_mm).abs().amax(dim=1, keepdim=True)
    return inside & (bend < 0.5)


@needs_bpy
@pytest.mark.slow
@pytest.mark.parametrize("effects", ["clean", "everything"])
def test_depth_is_that_of_the_fast_renderer(head_model, bpy, effects):
    limits = {"yaw_deg": 45.0, "pitch_deg": 20.0}
    config = SynthesisConfig.clean(**limits) if effects == "clean" else SynthesisConfig(**limits, occluders=0.0)
    fast = FaceSampler(head_model, config, seed=3, size=_SIZE)
    traced = CyclesSampler(fast, CyclesSettings(samples=4, strands=6000), bpy)
    checked = bodies = 0
    for index in (1, 2, 5):
        ours, theirs = fast[index], traced[index]
        assert torch.equal(ours.landmarks68_px, theirs.landmarks68_px)
        there = _away_from_edges(ours.depth_mm) & theirs.mask
        checked += int(there.sum())
        seen = theirs.scene_depth_mm[there]
        assert (ours.depth_mm[there] - seen).abs().max() < 0.2
        assert torch.equal(theirs.depth_mm[theirs.mask], theirs.scene_depth_mm[theirs.mask])
        bare = ours.segmentation == SEGMENT_NAMES.index("body")
        if bare.any():
            bodies += 1
            hair = theirs.segmentation == SEGMENT_NAMES.index("hair")
            assert (theirs.segmentation[bare & ~hair] == SEGMENT_NAMES.index("body")).float().mean() > 0.8
        if effects == "clean":
            assert (ours.segmentation == theirs.segmentation).float().mean() > 0.998
            assert (ours.image - theirs.image).abs().mean() < 0.06
    assert checked > 5000
    assert bodies > 0 or effects == "clean"


@needs_bpy
@pytest.mark.slow
def test_a_traced_data_set_reads_back(tmp_path):
    from recon.datasets import C3iReader

    out = tmp_path / "set"
    arguments = ["--count", "2", "--layout", "c3i", "--size", "60x80", "--engine", "cycles", "--paths", "2"]
    assert main(["synthesize", "-o", str(out), *arguments, "--set", "identities=2"]) == 0
    records = list(C3iReader(out))
    assert len(records) == 2
    for record in records:
        middle = record.depth_mm[25:35, 35:45]
        assert 200.0 < np.median(middle[middle > 0]) < 420.0
    assert "Cycles, 2 paths a pixel" in (out / "README.md").read_text()
    assert main(["synthesize", "-o", str(out), *[a for a in arguments if a not in ("--engine", "cycles")], "--set", "identities=2"]) == 1  # fmt: skip


@needs_bpy
@pytest.mark.slow
def test_hair_is_seen_where_it_grows(head_model, bpy):
    fast = FaceSampler(head_model, SynthesisConfig(hair=1.0, yaw_deg=10.0, pitch_deg=10.0), seed=3, size=_SIZE)
    index = next(k for k in range(20) if bool(fast.scene([k]).hairstyles.has_sheet[0]))
    batch = CyclesSampler(fast, CyclesSettings(samples=2), bpy)[index]
    hair = batch.segmentation == SEGMENT_NAMES.index("hair")
    assert hair.float().mean() > 0.05
    assert (batch.scene_depth_mm[:, 0][hair] > 0).all()
