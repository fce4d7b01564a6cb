"""Landmarks that the tests of fitting share."""

from recon.detection.observation import LandmarkObservation
from recon.fitting.state import LandmarkTensors


def independent(points, sigma_px):
    """Points whose errors have nothing to do with each other."""
    return LandmarkTensors.of(LandmarkObservation.independent(points.double().numpy(), sigma_px))
