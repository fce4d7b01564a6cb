"""The sliders of the window: expression, identity, pose, and how the head is shown.

What a slider moves is computed by the browser (``head_view.js``); the server only hears where sliders stand, for downloads.
"""

from __future__ import annotations

from nicegui import ui

from bfm.model import MorphableModel
from recon.app.drawn_data import MAX_COMPONENTS, expression_names
from recon.app.edits import Edits
from recon.app.expressions import grouped, matches, words
from recon.app.head_view import HeadView
from recon.reconstruction import Reconstruction

LOOKS = {
    "texture": "Photo texture",
    "lit_albedo": "Skin colour, lit",
    "albedo": "Skin colour",
    "shape": "Shape",
    "normals": "Normals",
    "depth": "Depth",
}
"""Ways to show a head, in words; the keys are those of ``head_view.js``."""
LIGHTS = {"photo": "of the photo", "studio": "studio", "even": "even"}
_ANGLES = ("Yaw (turn)", "Pitch (nod)", "Roll (tilt)")
_MOVED = 0.004
"""Sliders nearer than this to what was found are taken as not moved."""


class HeadSliders:
    """Expression, identity and pose of the head on the left.

    Args:
        view: that shows it.
        names: of expressions.
        unit: whether expression weights lie in [0, 1]; otherwise they are standard deviations.
        n_identity: sliders of identity.
    """

    def __init__(self, view: HeadView, names: tuple[str, ...], unit: bool, n_identity: int) -> None:
        self._view, self._names = view, names
        self._found: Reconstruction | None = None
        self._expression: dict[str, ui.slider] = {}
        self._identity: list[ui.slider] = []
        self._pose: list[ui.slider] = []
        self._rows: dict[str, ui.row] = {}
        self._groups: dict[str, tuple[ui.expansion, list[str]]] = {}
        self._range = (0.0, 1.0) if unit else (-3.0, 3.0)
        self._n_identity = n_identity

    @classmethod
    def of(cls, view: HeadView, model: MorphableModel) -> HeadSliders:
        """For the heads of a face model."""
        unit = model.expression_prior == "unit"
        return cls(view, expression_names(model), unit, min(MAX_COMPONENTS, model.n_identity))

    def build_expression(self) -> None:
        """Expressions in groups that open, a search field, and the ways back."""
        with ui.row().classes("w-full items-center no-wrap gap-1"):
            search = ui.input(placeholder="Search, e.g. smile left").props("dense clearable outlined").classes("grow")
            search.on_value_change(lambda event: self._filter(event.value or ""))
        with ui.row().classes("w-full gap-1"):
            ui.button("As found", on_click=self.reset_expression).props("dense flat no-caps")
            ui.button("Neutral", on_click=self._neutral).props("dense flat no-caps")
        low, high = self._range
        for title, members in grouped(self._names).items():
            group = ui.expansion(title, value=title == "Mouth").props("dense dense-toggle").classes("w-full")
            self._groups[title] = (group, members)
            with group:
                for name in members:
                    call = f"setWeight({self._names.index(name)}, value)"
                    row, self._expression[name] = self._slider(words(name), low, high, 0.01, call)
                    row.mark(f"expression-{name}")
                    self._rows[name] = row

    def build_identity(self) -> None:
        """The components that move most."""
        ui.label("Components of the face's shape, in standard deviations; the first move most.").classes("hint")
        ui.button("As found", on_click=self.reset_identity).props("dense flat no-caps")
        for number in range(self._n_identity):
            call = f"setIdentity({number}, value)"
            self._identity.append(self._slider(f"Shape {number + 1}", -3.0, 3.0, 0.05, call)[1])

    def build_pose(self) -> None:
        """Three angles against the camera's axis."""
        ui.label("Degrees against the camera: right, down and counter-clockwise are positive.").classes("hint")
        ui.button("As found", on_click=self.reset_pose).props("dense flat no-caps")
        for number, title in enumerate(_ANGLES):
            self._pose.append(self._slider(title, -90.0, 90.0, 0.5, f"setAngle({number}, value)")[1])

    def show(self, head: Reconstruction) -> None:
        """Put the sliders where a head has been found."""
        self._found = head
        self._put_expression(head.expression[0].tolist())
        self._put_identity(head.identity[0].tolist())
        self._put_pose(head)

    def edits(self) -> Edits:
        """What was moved since :meth:`show`."""
        head = self._found
        if head is None:
            return Edits()
        found = head.expression[0].tolist()
        expression = {
            name: float(self._expression[name].value)
            for name, value in zip(self._names, found, strict=True)
            if abs(self._expression[name].value - self._clamped(value)) > _MOVED
        }
        identity = {
            number: float(slider.value)
            for number, (slider, value) in enumerate(zip(self._identity, head.identity[0].tolist(), strict=False))
            if abs(slider.value - min(max(value, -3.0), 3.0)) > _MOVED
        }
        pose = (head.pose.yaw, head.pose.pitch, head.pose.roll)
        angles = tuple(float(slider.value) for slider in self._pose)
        moved = any(abs(a - b) > _MOVED for a, b in zip(angles, pose, strict=True))
        return Edits(expression, identity, (angles[0], angles[1], angles[2]) if moved else None)

    def reset_expression(self) -> None:
        """Back to what was found."""
        if self._found is not None:
            values = self._found.expression[0].tolist()
            self._put_expression(values)
            self._view.run_method("setWeights", values)

    def reset_identity(self) -> None:
        """Back to what was found."""
        if self._found is not None:
            values = self._found.identity[0].tolist()
            self._put_identity(values)
            self._view.run_method("setIdentities", values[:MAX_COMPONENTS])

    def reset_pose(self) -> None:
        """Back to what was found."""
        if self._found is not None:
            self._put_pose(self._found)
            for number, slider in enumerate(self._pose):
                self._view.run_method("setAngle", number, slider.value)

    def _neutral(self) -> None:
        self._put_expression([0.0] * len(self._names))
        self._view.run_method("setWeights", [0.0] * len(self._names))

    def _put_expression(self, values: list[float]) -> None:
        for name, value in zip(self._names, values, strict=True):
            self._expression[name].value = self._clamped(value)

    def _put_identity(self, values: list[float]) -> None:
        for slider, value in zip(self._identity, values, strict=False):
            slider.value = min(max(value, -3.0), 3.0)

    def _put_pose(self, head: Reconstruction) -> None:
        for slider, angle in zip(self._pose, (head.pose.yaw, head.pose.pitch, head.pose.roll), strict=True):
            slider.value = angle

    def _clamped(self, value: float) -> float:
        return min(max(value, self._range[0]), self._range[1])

    def _filter(self, looked_for: str) -> None:
        for group, members in self._groups.values():
            shown = [name for name in members if matches(name, looked_for)]
            for name in members:
                self._rows[name].set_visibility(name in shown)
            group.set_visibility(bool(shown))
            if looked_for and shown:
                group.open()

    def _slider(self, title: str, low: float, high: float, step: float, call: str) -> tuple[ui.row, ui.slider]:
        with ui.row().classes("slider-row w-full no-wrap items-center") as row:
            ui.label(title).classes("slider-name")
            slider = ui.slider(min=low, max=high, step=step, value=0.0).props("dense").classes("grow")
            ui.label().bind_text_from(slider, "value", lambda value: f"{value:.2f}").classes("slider-value")
        slider.on("update:model-value", js_handler=self._view.js(call))
        return row, slider


class LookControls:
    """How the head is shown: surface, camera, light, wireframe."""

    def __init__(self, view: HeadView) -> None:
        self._view = view

    def build_bar(self) -> None:
        """What is changed most, in a bar under the view."""
        with ui.row().classes("w-full items-center gap-1"):
            looks = (
                ui.toggle(LOOKS, value="texture")
                .props('dense no-caps unelevated padding="2px 7px" toggle-color=primary')
                .mark("look")
            )
            self._connect(looks, "look")
            cameras = ui.toggle({"photo": "On the photo", "free": "Turn freely"}, value="photo")
            cameras.props('dense no-caps unelevated padding="2px 7px" toggle-color=primary').mark("camera")
            self._connect(cameras, "camera")
            wires = ui.switch("Wireframe").props("dense").mark("wireframe")
            self._connect(wires, "wires")
            reset = ui.button(icon="center_focus_strong").props("dense flat").tooltip("Fit the view")
            reset.on("click", js_handler=f"() => getElement({self._view.id}).resetView()")

    def build_light(self) -> None:
        """Light and how much of the photo shines through."""
        ui.label("Light").classes("hint")
        lights = (
            ui.toggle(LIGHTS, value="photo")
            .props('dense no-caps unelevated padding="2px 7px" toggle-color=primary')
            .mark("light")
        )
        self._connect(lights, "light")
        for title, name, low, high, value, step in (
            ("Strength", "strength", 0.0, 2.5, 1.0, 0.05),
            ("Turn", "turn_deg", -180.0, 180.0, 0.0, 1.0),
            ("Head over photo", "opacity", 0.0, 1.0, 1.0, 0.02),
        ):
            with ui.row().classes("slider-row w-full no-wrap items-center"):
                ui.label(title).classes("slider-name")
                slider = ui.slider(min=low, max=high, step=step, value=value).props("dense").classes("grow")
                slider.mark(name)
                ui.label().bind_text_from(slider, "value", lambda number: f"{number:.2f}").classes("slider-value")
            self._connect(slider, name)

    def _connect(self, control: ui.toggle | ui.switch | ui.slider, name: str) -> None:
        # A toggle says {value, label}, and its value is the number of the option.
        if isinstance(control, ui.toggle):
            control.on_value_change(lambda event: self._view.run_method("setLook", name, event.value))
        else:
            control.on("update:model-value", js_handler=self._view.js(f"setLook('{name}', value)"))
