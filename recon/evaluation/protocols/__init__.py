"""The protocols, one file each: data in, :class:`recon.evaluation.reports.result.Evaluation` out."""
