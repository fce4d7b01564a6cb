"""Readers of data sets: synthetic ones of our own, and published ones."""

from recon.datasets.biwi import BiwiReader
from recon.datasets.c3i import C3iReader
from recon.datasets.eurecom import EurecomReader
from recon.datasets.kinect_depth import BiwiDepthReader, PandoraDepthReader
from recon.datasets.pandora import PandoraReader
from recon.datasets.photos import PhotoReader
from recon.datasets.pointing04 import Pointing04Reader
from recon.datasets.points68_table import Points68Reader
from recon.datasets.pose_table import PoseTableReader
from recon.datasets.record import DamagedSample, FaceReader, FaceRecord
from recon.datasets.side_by_side import SideBySideReader
from recon.datasets.synthetic import FolderReader, ShardReader
from recon.datasets.synthhuman import SynthHumanReader
from recon.datasets.w300lp import W300LPReader

__all__ = [
    "BiwiDepthReader",
    "BiwiReader",
    "C3iReader",
    "DamagedSample",
    "EurecomReader",
    "FaceReader",
    "FaceRecord",
    "FolderReader",
    "PandoraDepthReader",
    "PandoraReader",
    "PhotoReader",
    "Pointing04Reader",
    "Points68Reader",
    "PoseTableReader",
    "ShardReader",
    "SideBySideReader",
    "SynthHumanReader",
    "W300LPReader",
]
