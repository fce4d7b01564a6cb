"""The window: what is dropped, what is shown, what can be taken away."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import math
from collections.abc import Awaitable, Callable
from pathlib import PurePath

from nicegui import events, ui

from recon.app.downloads import EVERYTHING, MAP_NAMES, download, mesh_formats
from recon.app.drawn_data import head_parts, photo_jpeg, texture_jpeg
from recon.app.examples import N_EXAMPLES, example_photos
from recon.app.head_view import HeadView
from recon.app.limits import (
    NEEDS_PYAV,
    PHOTO_ENDINGS,
    Limits,
    RefusedUpload,
    check_upload,
    is_video,
    shown_name,
)
from recon.app.methods import METHOD_NAMES, HeadMaker
from recon.app.panels import HeadSliders, LookControls
from recon.app.session import BLOB_PATH, BlobStore, Session
from recon.app.sources import ClipSource, PhotoSource, Source, TrackVideo
from recon.app.window_work import VIDEO_WORK, WindowClosed, WindowWork
from recon.app.work_queue import WorkQueue
from recon.io.faults import reason
from recon.io.video import VIDEO_SUFFIXES
from recon.reconstruction import Reconstruction

_NOTHING = "nothing"
_STYLE = """
body { background: #14181d; }
.nicegui-content { padding: 0; }
.window { height: 100vh; width: 100vw; display: grid; grid-template-columns: 270px minmax(320px, 1fr) 320px; gap: 10px; padding: 10px; }
.panel { background: #1d232a; border-radius: 10px; padding: 12px; overflow-y: auto; gap: 8px; }
.stage { background: radial-gradient(circle at 50% 38%, #59636e, #262c33 75%); border-radius: 10px; overflow: hidden; }
.head-view-label { position: absolute; top: 10px; padding: 2px 10px; border-radius: 8px; background: #0009; color: white; font-size: 13px; }
.head-view-label:empty { display: none; }
.hint { color: #9fb0c0; font-size: 12px; line-height: 1.35; }
.slider-row { gap: 8px; } .slider-name { width: 118px; font-size: 12px; line-height: 1.1; }
.slider-value { width: 38px; text-align: right; font-size: 11px; color: #9fb0c0; }
.q-uploader { background: #232b34 !important; border: 2px dashed #47627c; border-radius: 10px; width: 100% !important; max-height: 150px; }
.q-uploader__list { min-height: 46px; padding: 6px; }
.q-tab { padding: 0 9px; }
.example { cursor: pointer; border-radius: 6px; flex: 1 1 0; min-width: 0; aspect-ratio: 1; background: #2b3540; border: 1px solid #47627c; }
.example:hover { border-color: #8cc4f5; }
.q-uploader__subtitle { display: none; }
.warning { color: #ffcf70; font-size: 12px; line-height: 1.35; }
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Services:
    """What all windows of a server share.

    Attributes:
        maker: makes heads.
        queue: of all windows' work.
        videos: another one, of their videos.
        blobs: from which browsers fetch.
        limits: of each window.
        model_url: of the face model's parts.
        track: tracks videos; None where there is no tracker.
    """

    maker: HeadMaker
    queue: WorkQueue
    videos: WorkQueue
    blobs: BlobStore
    limits: Limits
    model_url: str
    track: TrackVideo | None = None


class Window:
    """One visitor's window.

    Args:
        services: shared with the others.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.session = Session(services.blobs, services.limits)
        self._shown: tuple[str, int, str] | None = None
        self._textures: dict[tuple[str, int, str], bytes] = {}
        self._running = 0
        self._work = WindowWork(services.queue, services.videos, self.session)

    def build(self) -> None:
        """Lay the window out for the present client."""
        ui.add_css(_STYLE)
        ui.dark_mode(True)
        ui.colors(primary="#3f8fd0")
        with ui.element("div").classes("window"):
            with ui.column().classes("panel no-wrap"):
                self._build_input()
            with ui.column().classes("no-wrap gap-2").style("min-width: 0; height: calc(100vh - 20px)"):
                with ui.element("div").classes("stage w-full").style("position: relative; flex: 1 1 0; min-height: 0"):
                    self._view = HeadView(self._services.model_url).classes("w-full h-full").mark("view")
                    self._welcome = ui.label("Drop a photo on the left, or pick a drawn face").classes(
                        "absolute-center text-h6 text-grey-4"
                    )
                with ui.row().classes("w-full items-center no-wrap gap-3"):
                    self._work.build()
                self._looks = LookControls(self._view)
                self._looks.build_bar()
                self._warnings = ui.column().classes("w-full gap-0").mark("warnings")
            with ui.column().classes("panel no-wrap"):
                self._build_controls()

    def close(self) -> None:
        """The visitor has gone."""
        self.session.close()
        self._textures.clear()

    def _build_input(self) -> None:
        limits = self._services.limits
        ui.label("facerecon").classes("text-h6")
        ui.label(
            "A photo goes in, a head comes out. Photos stay in the memory of the machine that serves this page until the window is closed."
        ).classes("hint")
        endings = (*PHOTO_ENDINGS, *VIDEO_SUFFIXES)
        largest = limits.video_bytes if self._services.track else limits.photo_bytes
        ui.upload(
            label="Drop photos here, or press +"
            if self._services.track is None
            else "Drop photos or a video, or press +",
            multiple=True,
            auto_upload=True,
            max_file_size=largest,
            max_files=limits.files_at_once,
            on_upload=self._uploaded,
            on_rejected=self._rejected,
        ).props(f'accept="image/*,video/*,{",".join(endings)}" flat').mark("upload")
        if self._services.track is None:
            ui.label(NEEDS_PYAV.replace("this is a video: videos", "Videos")).classes("hint")
        ui.label("Drawn faces, of nobody:").classes("hint")
        with ui.row().classes("w-full no-wrap gap-1"):
            for number in range(N_EXAMPLES):
                picture = ui.element("img").props(f'src="{EXAMPLES_PATH}/{number}" alt="drawn face {number + 1}"')
                picture.classes("example").mark(f"example-{number}")
                picture.on("click", functools.partial(self._example, number))
        ui.separator()
        self._source_select = (
            ui.select({}, label="Photo", on_change=self._picked_source).props("dense outlined").classes("w-full")
        )
        self._place_select = (
            ui.select({}, label="Face", on_change=self._picked_place).props("dense outlined").classes("w-full")
        )
        self._frame = ui.slider(min=0, max=1, step=1, value=0, on_change=self._picked_place).props("label dense")
        ui.label("Method").classes("hint")
        self._method = ui.toggle(dict(METHOD_NAMES), value="regress", on_change=self._picked_method)
        self._method.props("dense no-caps unelevated spread padding=xs toggle-color=primary").classes(
            "w-full column"
        ).mark("method")
        self._compare = ui.select(
            {_NOTHING: "nothing", **METHOD_NAMES}, value=_NOTHING, label="Compare with", on_change=self._picked_method
        )
        self._compare.props("dense outlined").classes("w-full").mark("compare")
        self._numbers = ui.label().classes("hint").style("white-space: pre-line").mark("numbers")
        for control in (self._source_select, self._place_select, self._frame):
            control.set_visibility(False)

    def _build_controls(self) -> None:
        self._sliders = HeadSliders.of(self._view, self._services.maker.model)
        with ui.tabs().props("dense no-caps inline-label").classes("w-full") as tabs:
            names = [ui.tab(name) for name in ("Expression", "Shape", "Pose", "Light")]
        with (
            ui.tab_panels(tabs, value=names[0], animated=False, keep_alive=True)
            .classes("w-full bg-transparent")
            .style("flex: 1 1 0")
        ):
            builders = (
                self._sliders.build_expression,
                self._sliders.build_identity,
                self._sliders.build_pose,
                self._looks.build_light,
            )
            for tab, build in zip(names, builders, strict=True):
                with ui.tab_panel(tab).classes("p-0 gap-1"):
                    build()
        ui.separator()
        ui.label("Take away (meshes as the sliders show them)").classes("hint")
        with ui.row().classes("w-full gap-1"):
            for choice in mesh_formats():
                self._download_button(choice.upper(), choice)
        with ui.row().classes("w-full gap-1"):
            for choice, title in MAP_NAMES.items():
                self._download_button(title, choice)
            self._download_button("everything (zip)", EVERYTHING)

    def _download_button(self, title: str, choice: str) -> None:
        button = ui.button(title, on_click=functools.partial(self._download, choice))
        button.props("dense outline no-caps size=sm").mark(f"download-{choice}")

    # What comes in

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        event.sender.run_method("removeUploadedFiles")
        try:
            check_upload(
                event.file.name, event.file.size(), self._services.limits, videos=self._services.track is not None
            )
        except RefusedUpload as error:
            self._complain(str(error))
            return
        await self._take(event.file.name, await event.file.read())

    def _rejected(self) -> None:
        limits = self._services.limits
        largest = limits.video_bytes if self._services.track else limits.photo_bytes
        self._complain(
            f"not taken: pictures ({', '.join(e[1:] for e in PHOTO_ENDINGS)}) up to {largest / 1e6:.0f} MB are, {limits.files_at_once} at once"
        )

    async def _example(self, number: int) -> None:
        try:
            photos = await self._work.do("drawing faces", example_photos, "read")
        except WindowClosed:
            return
        except Exception as error:  # said to the visitor; a server goes on
            self._complain(reason(error))
            return
        await self._take(f"drawn face {number + 1}.png", photos[number])

    async def _take(self, name: str, data: bytes) -> None:
        """Reconstruct what was dropped; the first of several is shown when it is there."""
        shown = shown_name(name)
        if self._running >= self._services.limits.waiting:
            self._complain(f"{shown}: {self._running} photos are waiting already; drop it again later")
            return
        first = self._running == 0
        self._running += 1
        try:
            key = self.session.add(await self._read(name, data))
            self._forget_textures()
            if first:
                self._list_sources(key)
                await self._show(key, 0)
            else:
                self._list_sources(None)
        except WindowClosed:
            pass
        except Exception as error:  # whatever is wrong with one file is said, and the window goes on
            self._complain(f"{shown}: {reason(error)}")
        finally:
            self._running -= 1

    async def _read(self, name: str, data: bytes) -> Source:
        maker, track = self._services.maker, self._services.track
        if not is_video(name):
            return await self._work.do("looking for faces", lambda: PhotoSource.read(name, data, maker), "read")
        assert track is not None, "refused before"
        done = [0.0]

        def progress(share: float) -> None:
            if self.session.closed:
                raise WindowClosed
            done[0] = share

        clip = await self._work.do("tracking", lambda: track(data, progress), VIDEO_WORK, done)
        return ClipSource(name, clip)

    # What is shown

    async def _show(self, key: str, place: int) -> None:
        """Show a head, made first if need be, then its texture."""
        source = self.session.sources.get(key)
        if source is None:
            return
        method = str(self._method.value) if str(self._method.value) in source.methods else source.methods[0]
        other = str(self._compare.value)
        methods = [method] + ([other] if other in source.methods and other != method else [])
        shown = self._shown = (key, place, "+".join(methods))
        try:
            heads = [await self._head(source, place, one) for one in methods]
            if self._shown != shown:
                return
            await self._put(key, place, methods, heads)
        except WindowClosed:
            pass
        except Exception as error:  # said to the visitor; the window goes on
            self._complain(f"{source.name}: {reason(error)}")

    async def _head(self, source: Source, place: int, method: str) -> Reconstruction:
        if source.has(place, method):
            return source.head(place, method)
        title = METHOD_NAMES.get(method, method).lower()
        return await self._work.do(f"making the head ({title})", lambda: source.head(place, method), method)

    async def _put(self, key: str, place: int, methods: list[str], heads: list[Reconstruction]) -> None:
        shown = self._shown
        self._welcome.set_visibility(False)
        self._sliders.show(heads[0])
        self._say(heads)
        blocks = await asyncio.to_thread(lambda: [head_parts(head) for head in heads])
        photo = await asyncio.to_thread(photo_jpeg, heads[0])
        rows = [
            {"url": self.session.serve(block, "application/octet-stream"), "label": METHOD_NAMES.get(method, method)}
            for block, method in zip(blocks, methods, strict=True)
        ]
        if self.session.closed:
            raise WindowClosed
        self._view.show_heads(rows, self.session.serve(photo, "image/jpeg"))
        for pane, (head, method) in enumerate(zip(heads, methods, strict=True)):
            if not len(head.model.uv):
                continue
            at = (key, place, method)
            if at not in self._textures:
                self._textures[at] = await self._work.do("texture", functools.partial(texture_jpeg, head), "texture")
            if self._shown != shown:
                return
            self._view.set_texture(pane, self.session.serve(self._textures[at], "image/jpeg"))

    def _say(self, heads: list[Reconstruction]) -> None:
        head = heads[0]
        report = head.fit_report
        lines = [
            f"turned {head.pose.yaw:.0f}\u00b0, nodding {head.pose.pitch:.0f}\u00b0, tilted {head.pose.roll:.0f}\u00b0"
        ]
        if not math.isnan(report.landmark_error_percent):
            lines.append(f"misses the landmarks by {report.landmark_error_percent:.1f} % of the face's size")
        lines.append(f"{-float(head.camera.translation_mm[0, 2]) / 1000.0:.2f} m from the camera")
        self._numbers.text = "\n".join(lines)
        self._warnings.clear()
        with self._warnings:
            for text in (*report.warnings, *head.photo.notes):
                ui.label(f"\u26a0 {text}").classes("warning")

    def _list_sources(self, current: str | None) -> None:
        sources = self.session.sources
        options = {key: f"{number + 1}. {source.name}" for number, (key, source) in enumerate(sources.items())}
        value = current if current in options else self._source_select.value
        self._quiet(lambda: self._source_select.set_options(options, value=value if value in options else None))
        self._source_select.set_visibility(len(options) > 1)
        if current is not None:
            self._list_places(sources[current])

    def _list_places(self, source: Source) -> None:
        clip = isinstance(source, ClipSource)
        places = dict(enumerate(source.places))
        self._quiet(lambda: self._place_select.set_options({} if clip else places, value=None if clip else 0))
        self._place_select.set_visibility(not clip and len(places) > 1)
        self._frame.set_visibility(clip)
        self._frame.props(f"max={max(1, len(places) - 1)}")

    _silent = False

    def _quiet(self, change: Callable[[], object]) -> None:
        """Change controls without their handlers taking it for a visitor's wish."""
        self._silent = True
        try:
            change()
        finally:
            self._silent = False

    # These are no coroutines, so that they look at once whether a visitor or this code changed the control.

    def _picked_source(self, event: events.ValueChangeEventArguments) -> Awaitable[None] | None:
        if self._silent or event.value not in self.session.sources:
            return None
        self._list_places(self.session.sources[event.value])
        return self._show(event.value, 0)

    def _picked_place(self, event: events.ValueChangeEventArguments) -> Awaitable[None] | None:
        if self._silent or self._shown is None or event.value is None:
            return None
        return self._show(self._shown[0], int(event.value))

    def _picked_method(self) -> Awaitable[None] | None:
        return None if self._shown is None else self._show(self._shown[0], self._shown[1])

    # What goes out

    async def _download(self, choice: str) -> None:
        if self._shown is None or (source := self.session.sources.get(self._shown[0])) is None:
            self._complain("there is no head yet")
            return
        head = await self._head(source, self._shown[1], self._shown[2].split("+")[0])
        edits, stem = self._sliders.edits(), PurePath(source.name).stem
        try:
            file = await self._work.do("writing the file", lambda: download(head, choice, stem, edits), "file")
        except WindowClosed:
            return
        except Exception as error:  # said to the visitor; the window goes on
            self._complain(reason(error))
            return
        ui.download.from_url(self.session.serve(file.data, "application/octet-stream"), file.name)

    def _complain(self, text: str) -> None:
        ui.notify(text, type="warning", timeout=12_000, close_button=True, position="top")

    def _forget_textures(self) -> None:
        known = self.session.sources
        self._textures = {at: data for at, data in self._textures.items() if at[0] in known}


BLOB_ROUTE = BLOB_PATH + "/{key}"
EXAMPLES_PATH = "/drawn-faces"
