"""The protocols, one file each: data in, :class:`recon.evaluation.result.Evaluation` out."""
