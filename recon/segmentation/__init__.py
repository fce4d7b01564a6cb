"""Which pixels of a photo show uncovered facial skin.

- ``segmenter``: the interface :class:`~recon.segmentation.segmenter.FaceSegmenter`, and what a rendered head tells it,
  :class:`~recon.segmentation.segmenter.RenderedRegions`.
- ``grabcut``: by a graph cut on colours (the default of fit and texture); ``skin_color``: its colour model.
- ``residual``: by the difference from a rendered face (the default of training and of regressed heads).
- ``numpy_parser``: the interface of before, removed in version 0.2.
"""
