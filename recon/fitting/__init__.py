"""Analysis by synthesis: the parameters that explain one photo, or several photos of one person."""

from recon.fitting.crops import View as View
from recon.fitting.fit import FaceFitter as FaceFitter
from recon.fitting.fit import FitResult as FitResult
from recon.fitting.initial_estimate import InitialEstimate as InitialEstimate
from recon.fitting.initial_estimate import InitialSigma as InitialSigma
from recon.fitting.settings import FitSettings as FitSettings
