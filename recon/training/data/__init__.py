"""Data of a training: synthetic faces, unlabelled and labelled photos, and mixtures."""
