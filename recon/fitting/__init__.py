"""Analysis by synthesis: the coefficients that explain one photo, or several photos of one person."""

from recon.fitting.fit import FitResult as FitResult
from recon.fitting.fit import View as View
from recon.fitting.fit import fit as fit
from recon.fitting.picture import PictureFitter as PictureFitter
from recon.fitting.settings import FitSettings as FitSettings
