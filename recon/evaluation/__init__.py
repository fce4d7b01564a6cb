"""Measuring results: distances, alignments, protocols and reports.

The measures (:mod:`~recon.evaluation.metrics.nme`, :mod:`~recon.evaluation.metrics.pose`, :mod:`~recon.evaluation.metrics.depth`,
:mod:`~recon.evaluation.scans.errors`) are pure functions of arrays. A protocol reads a data set, asks a predictor for a
head for each photo and fills one :class:`~recon.evaluation.reports.result.Evaluation`, from which every report is made.
"""
