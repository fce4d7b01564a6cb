"""The window's 3D view as an element of NiceGUI; ``head_view.js`` draws with the three.js that NiceGUI brings."""

from __future__ import annotations

from nicegui.element import Element
from nicegui.elements.scene import Scene

THREE_OF = Scene
"""Importing it is what makes the module ``nicegui-scene`` known to browsers."""


class HeadView(Element, component="head_view.js"):
    """Draws one head or two.

    Args:
        model_url: where the browser fetches :func:`recon.app.drawn_data.model_parts`.
    """

    def __init__(self, model_url: str) -> None:
        super().__init__()
        self._props["model_url"] = model_url

    def show_heads(self, heads: list[dict[str, str]], photo_url: str, *, keep_view: bool = False) -> None:
        """Show heads, each ``{"url": ..., "label": ...}``, before their photo."""
        self.run_method("showHeads", heads, photo_url, keep_view)

    def set_texture(self, pane: int, url: str) -> None:
        """Put a texture on the head of a pane, 0 or 1."""
        self.run_method("setTexture", pane, url)

    def js(self, call: str) -> str:
        """A JavaScript handler of a control's new value that never asks the server: ``call`` is one of the view's methods with
        ``value`` among its arguments."""
        return f"(value) => getElement({self.id}).{call}"
