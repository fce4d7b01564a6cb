"""Analysis by synthesis: the parameters that explain one photo, or several photos of one person.

- ``fit``: :class:`FaceFitter`, the order of things: landmarks, then masks, then the photos at growing resolution.
- ``crops``: a photo as tensors, whole and cropped; ``state``: those tensors and the unknowns; ``layout``: the unknowns' order in one
  vector; ``settings``: weights and effort; ``initial_estimate``: what is known before, by a network.
- ``stages``: the landmark stage and the photometric stage, both bounded Gauss-Newton (``solver``) on the sum of ``terms``.
- ``fit_model`` prepares a face model: ``landmark_model`` at its landmarks, ``surface`` at the vertices that photos are compared at
  (with the analytic Jacobian). ``face_in_view`` is the face at the state so far, rendered into a view; ``projection`` has the
  derivatives of pixels.
- ``lighting_estimate``: the first light; ``jaw_prior``: teeth between the lips as evidence of a shut jaw; ``robust``: weights of outliers.
"""

from recon.fitting.crops import View as View
from recon.fitting.fit import FaceFitter as FaceFitter
from recon.fitting.fit import FitResult as FitResult
from recon.fitting.initial_estimate import InitialEstimate as InitialEstimate
from recon.fitting.initial_estimate import InitialSigma as InitialSigma
from recon.fitting.settings import FitSettings as FitSettings
