"""Measuring results: distances, alignments, protocols and reports.

The measures (:mod:`~recon.evaluation.nme`, :mod:`~recon.evaluation.pose_errors`, :mod:`~recon.evaluation.depth_errors`,
:mod:`~recon.evaluation.scan_errors`) are pure functions of arrays. A protocol reads a data set, asks a predictor for a
head for each photo and fills one :class:`~recon.evaluation.result.Evaluation`, from which every report is made.
"""
