"""``head.glb`` of a track where people play it: three.js in a real browser, and Blender; and what Khronos' validator says of it."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recon.export.glb import write_glb
from recon.export.usd import write_usdz
from recon.synthesis.cycles.blender import BlenderError, load_bpy
from recon.tracking.head_track import HeadTrack
from recon.tracking.heads import head_at
from recon.tracking.output import animation_of

SIZE = (240, 320)
PLAYER = Path(__file__).with_name("player.html")


@pytest.fixture(scope="module")
def played(made_up_track: HeadTrack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, with a texture of one half blue, one half yellow."""
    texture = np.full((64, 64, 3), (40, 60, 230), np.uint8)
    texture[:, 32:] = (230, 210, 40)
    head = head_at(made_up_track, 0, np.zeros((*made_up_track.size, 3), np.uint8))
    path = tmp_path_factory.mktemp("glb") / "head.glb"
    return write_glb(path, head.mesh(0, texture=texture), animation=animation_of(made_up_track))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_validator_of_khronos_has_nothing_to_say(
    played: Path, gltf_report: Callable[[Path], dict[str, Any]]
) -> None:
    report = gltf_report(played)
    assert report["issues"]["messages"] == []
    assert report["info"]["animationCount"] == 1 and report["info"]["hasMorphTargets"] and report["info"]["hasTextures"]


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_plays_what_was_tracked(browser: Any, played: Path, made_up_track: HeadTrack, tmp_path: Path) -> None:
    nicegui = pytest.importorskip("nicegui", reason="the extra app, which brings three.js, is not installed")
    three = Path(nicegui.__file__).parent / "elements" / "scene" / "dist" / "index.js"
    for source, name in ((three, "three.js"), (PLAYER, "player.html"), (played, "head.glb")):
        shutil.copy(source, tmp_path / name)
    complaints: list[str] = []
    with served(tmp_path) as address, browser.new_context() as context:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/player.html")
        page.wait_for_function("window.player", timeout=60_000)
        assert page.evaluate("player.cameras") == 1
        assert page.evaluate("player.targets") == list(made_up_track.model.expression_names)
        animation = animation_of(made_up_track)
        assert page.evaluate("player.duration_s") == pytest.approx(animation.time_s[-1], abs=1e-5)

        def picture(time_s: float) -> np.ndarray:
            url = page.evaluate(f"player.show({time_s}, {SIZE[1]}, {SIZE[0]})")
            return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))

        found = np.flatnonzero(made_up_track.found)
        shown = {int(k): picture(float(made_up_track.time_s[k] - made_up_track.time_s[0])) for k in found[:-1]}
        between = picture(0.5 * float(made_up_track.time_s[1] - made_up_track.time_s[0]))
    assert complaints == []
    blank = np.zeros((*SIZE, 3), np.uint8)
    for position, pixels in shown.items():
        drawn = ~np.isnan(head_at(made_up_track, position, blank).depth_map())
        seen = pixels[..., 3] > 127
        assert drawn.mean() > 0.1
        assert (seen & drawn).sum() / (seen | drawn).sum() > 0.97, f"frame {position} is not where it was tracked"
    before, after = (shown[k].astype(int) for k in list(shown)[:2])
    for other in (before, after):
        assert (np.abs(between.astype(int) - other).max(axis=2) > 20).mean() > 0.002
    colours = shown[0][shown[0][..., 3] > 250][:, :3].astype(int)
    assert (colours[:, 2] > colours[:, 0] + 40).mean() > 0.2 and (colours[:, 0] > colours[:, 2] + 40).mean() > 0.2


@pytest.mark.slow
def test_blender_has_the_motion(played: Path, made_up_track: HeadTrack) -> None:
    try:
        bpy = load_bpy()
    except BlenderError as error:
        pytest.skip(str(error))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    fps = 25
    bpy.context.scene.render.fps = fps
    bpy.ops.import_scene.gltf(filepath=str(played))
    (head,) = (item for item in bpy.data.objects if item.type == "MESH")
    keys = head.data.shape_keys.key_blocks
    assert [key.name for key in keys][1:] == list(made_up_track.model.expression_names)
    assert [item.type for item in bpy.data.objects if item.type == "CAMERA"] == ["CAMERA"]
    (material,) = head.data.materials
    assert any(node.type == "TEX_IMAGE" and node.image.size[0] == 64 for node in material.node_tree.nodes)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Blender's up is z
    model = made_up_track.model
    for position in np.flatnonzero(made_up_track.found)[:-1]:
        frame = fps * float(made_up_track.time_s[position] - made_up_track.time_s[0])
        bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
        place = np.array(head.matrix_world)
        turn = upright @ made_up_track.rotation[position]
        np.testing.assert_allclose(place[:3, 3], upright @ made_up_track.translation_mm[position] / 1000.0, atol=1e-4)
        # The importer may turn the mesh's own axes: what counts is where the vertices are.
        weights = made_up_track.expression[position]
        np.testing.assert_allclose([key.value for key in keys][1:], weights, atol=1e-3)
        evaluated = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        local = np.zeros(3 * len(evaluated.vertices), np.float32)
        evaluated.vertices.foreach_get("co", local)
        world = local.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3]
        expected = model.shape(made_up_track.person.identity, torch.from_numpy(weights[None]).float())[0].numpy()
        expected = (expected @ turn.T + upright @ made_up_track.translation_mm[position]) / 1000.0
        for corner in (world.min(axis=0) - expected.min(axis=0), world.max(axis=0) - expected.max(axis=0)):
            assert np.abs(corner).max() < 2e-4


@pytest.mark.slow
def test_blender_has_the_motion_of_usd(made_up_track: HeadTrack, tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="usd-core (the extra usd) is not installed")
    try:
        bpy = load_bpy()
    except BlenderError as error:
        pytest.skip(str(error))
    head = head_at(made_up_track, 0, np.zeros((*made_up_track.size, 3), np.uint8))
    path = write_usdz(tmp_path / "head.usdz", head.mesh(0), animation=animation_of(made_up_track))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.usd_import(filepath=str(path))
    (mesh,) = (item for item in bpy.data.objects if item.type == "MESH")
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Blender's up is z
    for position in np.flatnonzero(made_up_track.found)[:-1]:
        code = 60.0 * float(made_up_track.time_s[position] - made_up_track.time_s[0])
        bpy.context.scene.frame_set(int(code), subframe=code - int(code))
        evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        shown = evaluated.to_mesh()
        local = np.zeros(3 * len(shown.vertices), np.float32)
        shown.vertices.foreach_get("co", local)
        place = np.array(evaluated.matrix_world)
        world = local.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3]
        weights = torch.from_numpy(made_up_track.expression[position][None]).float()
        expected = made_up_track.model.shape(made_up_track.person.identity, weights)[0].numpy()
        expected = expected @ made_up_track.rotation[position].T + made_up_track.translation_mm[position]
        np.testing.assert_allclose(world, expected @ upright.T / 1000.0, atol=2e-4)
