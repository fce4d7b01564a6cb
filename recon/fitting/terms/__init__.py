"""The terms of a fit: each gives weighted rows, linearised at the state so far."""

from __future__ import annotations

from typing import Protocol

from recon.fitting.face_in_view import FaceInView
from recon.fitting.layout import ParameterLayout
from recon.fitting.solver import LinearizedTerm
from recon.fitting.state import FitState


class ViewTerm(Protocol):
    """How well the face explains one view."""

    def linearize(self, face: FaceInView, layout: ParameterLayout) -> LinearizedTerm:
        """Rows of one view, at the columns that it depends on."""
        ...


class Prior(Protocol):
    """What is known before looking at any view."""

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """Rows of all unknowns."""
        ...
