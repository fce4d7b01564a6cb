"""Figures of the depth papers and of Pini et al. 2018, for the columns beside ours. None of them was measured here."""

from __future__ import annotations

METRES: dict[str, float] = {"sq_rel": 1e-3, "rmse": 1e-3}
"""Factors from our millimetres to the depth papers' unit, which is metres as far as one can tell."""

KHAN_COLUMNS = ("AbsRel", "SqRel", "RMSE", "NRMSE", "R2", "RMSElog", "delta 1", "delta 2", "delta 3")
KHAN: tuple[tuple[str, float, float, float, float, float, float, float, float, float], ...] = (
    ("DenseDepth-161", 0.0312, 0.0121, 0.0610, 0.0607, 0.0345, 0.0169, 0.9854, 0.9876, 0.9902),
    ("DenseDepth-121", 0.0320, 0.0132, 0.0712, 0.0746, 0.0465, 0.0180, 0.9732, 0.9803, 0.9880),
    ("DenseDepth-169", 0.0296, 0.0096, 0.0373, 0.0432, 0.0245, 0.0129, 0.9890, 0.9920, 0.9981),
    ("BTS", 0.0165, 0.0092, 0.0206, 0.0321, 0.0254, 0.0102, 0.9830, 0.9943, 0.9956),
    ("DenseDepth-201", 0.0375, 0.0097, 0.0304, 0.0476, 0.0265, 0.0101, 0.9920, 0.9956, 0.9969),
    ("ResNet-101", 0.0123, 0.0210, 0.0306, 0.0456, 0.0236, 0.0089, 0.9938, 0.9965, 0.9980),
    ("ResNet-50", 0.0232, 0.0219, 0.0445, 0.0598, 0.0231, 0.0186, 0.9919, 0.9974, 0.9984),
    ("EfficientNet-B0", 0.0145, 0.0280, 0.0360, 0.0476, 0.0228, 0.0154, 0.9912, 0.9934, 0.9978),
    ("EfficientNet-B7", 0.0132, 0.0234, 0.0353, 0.0431, 0.0225, 0.0144, 0.9880, 0.9909, 0.9965),
    ("UNet-simple", 0.0103, 0.0207, 0.0281, 0.0321, 0.0212, 0.0089, 0.9960, 0.9976, 0.9987),
    ("UNet-simple, facial crop", 0.0098, 0.0096, 0.0143, 0.0274, 0.0201, 0.0043, 0.9982, 0.9992, 0.9996),
    ("DenseDepth-169, facial crop", 0.0110, 0.0074, 0.0161, 0.0286, 0.0189, 0.0034, 0.9981, 0.9990, 0.9992),
    ("BTS, facial crop", 0.0109, 0.0072, 0.0152, 0.0248, 0.0165, 0.0033, 0.9971, 0.9991, 0.9992),
    ("ResNet-101, facial crop", 0.0132, 0.0077, 0.0170, 0.0213, 0.0149, 0.0035, 0.9980, 0.9990, 0.9992),
    ("EfficientNet-B7, facial crop", 0.0112, 0.0076, 0.0166, 0.0210, 0.0141, 0.0032, 0.9887, 0.9945, 0.9989),
    ("FaceDepth, facial crop", 0.0176, 0.0030, 0.0105, 0.0204, 0.0136, 0.0029, 0.9982, 0.9986, 0.9996),
)
"""Table 1 of the third depth paper, on its synthetic set. The unit is not certain; its R2 is no coefficient of determination."""

LOSS_COLUMNS = ("AbsRel", "SqRel", "RMSE", "RMSElog", "delta 1", "delta 2", "delta 3")
DEPTH_LOSSES: tuple[tuple[str, float, float, float, float, float, float, float], ...] = (
    ("1, 0.1, 0.1, 1", 0.0118, 0.0037, 0.0108, 0.0031, 0.9982, 0.9985, 0.9996),
    ("1, 0, 0, 0", 0.0178, 0.0048, 0.0124, 0.0042, 0.9961, 0.9974, 0.9991),
    ("0, 1, 0, 0", 0.0107, 0.0011, 0.0108, 0.0033, 0.9888, 0.9924, 0.9945),
    ("0, 0, 1, 0", 0.0495, 0.0086, 0.0181, 0.0081, 0.9881, 0.9952, 0.9986),
    ("0, 0, 0, 1", 0.0039, 0.0206, 0.0256, 0.0113, 0.8781, 0.9821, 0.9840),
    ("0.25, 0.25, 0.25, 0.25", 0.0219, 0.0038, 0.0109, 0.0032, 0.9961, 0.9982, 0.9990),
    ("0.28, 0.22, 0.3, 0.2", 0.0176, 0.0030, 0.0105, 0.0029, 0.9982, 0.9986, 0.9996),
)
"""Table 3 of the third depth paper: weights of depth, SSIM, gradient and normal loss, FaceDepth on the facial crop."""

PINI_METHODS = tuple(f"{data}: {method}" for data in ("Pandora", "BIWI") for method in ("cGAN", "AE", "pix2pix", "Cui"))
PINI: dict[str, tuple[float, float, float, float, float, float, float, float]] = {
    "mae": (11.792, 16.185, 18.172, 19.046, 10.503, 10.444, 47.191, 16.507),
    "l2": (1678.2, 2224.8, 3109.0, 2093.3, 2368.5, 2342.5, 6661.3, 2319.8),
    "abs_rel": (0.1019, 0.1441, 0.1512, 0.1465, 0.1838, 0.1936, 0.9062, 0.2836),
    "sq_rel": (2.9974, 5.3891, 8.6444, 3.9084, 8.7122, 9.0332, 100.89, 9.3032),
    "rmse": (18.677, 25.213, 33.526, 22.599, 24.865, 24.699, 72.084, 24.521),
    "rmse_log": (0.1744, 0.2752, 1.0864, 0.2105, 0.2932, 0.2970, 1.2240, 0.3390),
    "si_rmse": (0.1345, 0.2018, 1.0774, 0.1301, 0.2687, 0.2642, 1.1759, 0.2867),
    "delta_1": (0.8529, 0.6854, 0.7802, 0.7556, 0.7393, 0.7230, 0.4149, 0.6395),
    "delta_2": (0.9642, 0.8728, 0.8978, 0.9554, 0.9224, 0.9064, 0.5298, 0.7943),
    "delta_3": (0.9915, 0.9651, 0.9638, 0.9935, 0.9609, 0.9557, 0.6360, 0.9311),
    "delta_1/4": (0.5619, 0.4763, 0.5053, 0.0740, 0.5293, 0.5532, 0.3128, 0.3580),
    "delta_1/3": (0.6113, 0.5047, 0.5615, 0.1036, 0.5727, 0.6034, 0.3274, 0.4549),
    "delta_1/2": (0.6954, 0.5547, 0.6496, 0.5509, 0.6348, 0.6606, 0.3513, 0.5189),
}
"""Table 1 of Pini et al. 2018, on values of 0 to 255; measures by the names of :func:`recon.evaluation.metrics.depth.grey_errors`."""

PINI_VERIFICATION: dict[tuple[str, str], tuple[float, float]] = {
    ("A1", "S123"): (0.8184, 0.8614),
    ("A1", "S45"): (0.7685, 0.7155),
    ("A1", "all"): (0.7917, 0.7950),
    ("A2", "S123"): (0.7928, 0.7499),
    ("A2", "S45"): (0.7216, 0.6586),
    ("A2", "all"): (0.7576, 0.7007),
    ("all", "S123"): (0.8034, 0.7851),
    ("all", "S45"): (0.7271, 0.6696),
    ("all", "all"): (0.7664, 0.7247),
}
"""Table 2 of Pini et al. 2018: accuracy on original and on generated depth by head pose and sequences of Pandora. Its text gives
72.47 % for (A2, S45), which is the table's figure for all."""
