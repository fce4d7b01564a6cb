"""Figures of the papers, for the columns beside ours. None of them was measured here.

Sources: Table numbers are those of the reconstruction paper (Basak et al. 2022, see docs/papers.md); rows as printed there. Where the
paper quotes others, so do we.
"""

from __future__ import annotations

AFLW2000_NME: tuple[tuple[str, float | None, float | None, float | None, float | None], ...] = (
    ("3DDFA", 3.78, 4.54, 7.93, 5.42),
    ("3D-FAN", 2.77, 3.48, 4.61, 3.62),
    ("DeFA", None, None, None, 4.50),
    ("3DSTN", 3.15, 4.33, 5.98, 4.49),
    ("nonlinear 3DMM", None, None, None, 4.12),
    ("PRNet", 2.75, 3.51, 4.61, 3.62),
    ("DAMDN", 2.90, 3.83, 4.95, 3.89),
    ("CMD", None, None, None, 3.90),
    ("SPDT", 3.56, 4.06, 4.11, 3.88),
    ("3DDFAv2", 2.63, 3.42, 4.48, 3.51),
    ("SADRNet", 2.66, 3.30, 4.42, 3.46),
    ("reconstruction paper", 2.68, 3.37, 4.51, 3.54),
)
"""Table 1: NME % on AFLW2000-3D, yaw 0-30, 30-60, 60-90, balanced."""

DENSE_LANDMARKS_NME: tuple[tuple[str, str, float, float, float, float], ...] = (
    ("thesis, 520 points of MobileNetV2", "68", 2.86, 3.68, 4.76, 3.77),
    ("thesis, 520 points of ResNet-18", "68", 2.88, 3.72, 4.82, 3.83),
    ("3DDFAv2", "68", 2.63, 3.42, 4.48, 3.51),
    ("thesis, 520 points, on AFLW", "21", 4.04, 4.45, 5.20, 4.57),
    ("3DDFAv2, on AFLW", "21", 3.98, 4.31, 4.99, 4.43),
)
"""Tables 5.1 to 5.3 of the thesis (docs/papers.md): NME % of the points that are measured, yaw 0-30, 30-60, 60-90, all."""

MICC_MM: tuple[tuple[str, float, float, float], ...] = (
    ("Tran et al.", 1.93, 2.02, 1.86),
    ("Booth et al.", 1.82, 1.85, 1.63),
    ("Genova et al.", 1.50, 1.50, 1.48),
    ("Deng et al.", 0.978, 1.083, 1.075),
    ("GANFIT", 0.95, 0.94, 0.94),
    ("reconstruction paper", 0.956, 1.086, 0.964),
)
"""Table 2: mean symmetric point-to-plane distance on MICC Florence, mm: cooperative, indoor, outdoor."""

OPINION_SCORES: tuple[tuple[str, float | None, float | None, float | None, float | None], ...] = (
    ("GANFIT", 3.53, 3.73, 3.26, None),
    ("Genova et al.", 3.13, 3.06, None, None),
    ("Tran et al.", 2.33, 2.4, 2.93, None),
    ("Deng et al.", 3.26, 3.46, 3.13, 3.0),
    ("Tewari et al.", 2.73, 2.66, 2.6, 2.13),
    ("Tiwari et al.", None, None, None, 3.2),
    ("reconstruction paper", 3.6, 3.66, 3.2, 3.4),
)
"""Table 3: mean opinion scores 1-5: realism, texture, shape, occlusion."""

NOW_MM: tuple[tuple[str, str, float, float, float], ...] = (
    ("MICA (test)", "now.is.tue.mpg.de", 0.90, 1.11, 0.92),
    ("FOCUS (test)", "its README", 1.04, 1.30, 1.10),
    ("DECA (test)", "now_evaluation", 1.09, 1.38, 1.18),
    ("Deep3D PyTorch (test)", "its README", 1.11, 1.41, 1.21),
    ("3DDFA-V2 (test)", "Deep3D's README", 1.23, 1.57, 1.39),
    ("PRNet (test)", "Deep3D's README", 1.50, 1.98, 1.88),
)
"""NoW benchmark, non-metrical, test set: median, mean, standard deviation, mm, as quoted in the survey of peers."""

BIWI_RANGES: tuple[tuple[str, float, float, float], ...] = (
    ("Y90P10R10", 90.0, 10.0, 10.0),
    ("Y10P90R10", 10.0, 90.0, 10.0),
    ("Y10P10R90", 10.0, 10.0, 90.0),
    ("Y90P90R10", 90.0, 90.0, 10.0),
    ("Y10P90R90", 10.0, 90.0, 90.0),
    ("Y90P10R90", 90.0, 10.0, 90.0),
    ("Y60P60R10", 60.0, 60.0, 10.0),
    ("Y75P60R50", 75.0, 60.0, 50.0),
)
"""Ranges of the head pose paper, and that of BIWI itself: largest absolute yaw, pitch and roll in degrees. Y60P60R10 is of the authors'
earlier paper (ICCE 2021)."""

BIWI_RANGE_MAE: dict[str, tuple[float | None, float]] = {
    "Y90P10R10": (5.431, 3.324),
    "Y10P90R10": (4.408, 3.300),
    "Y10P10R90": (4.151, 3.091),
    "Y90P90R10": (6.203, 4.413),
    "Y10P90R90": (4.796, 3.755),
    "Y90P10R90": (5.722, 3.608),
    "Y60P60R10": (None, 4.88),
}
"""MAE in degrees on BIWI for these ranges: trained on SynHead, and on the paper's synthetic faces."""

POSE_MAE: dict[str, tuple[tuple[str, float | None, float | None, float | None, float | None], ...]] = {
    "aflw2000": (
        ("SynergyNet", 3.35, None, None, None),
        ("6DRepNet", 3.97, None, None, None),
        ("WHENet-V", 4.83, None, None, None),
        ("FSA-Net", 5.07, None, None, None),
    ),
    "biwi": (
        ("FAN (300W-LP)", 7.89, 8.53, 7.48, 7.63),
        ("HopeNet (300W-LP)", 4.90, 4.81, 6.61, 3.27),
        ("FSA-Net fusion (300W-LP)", 4.28, 4.56, 5.21, 3.07),
        ("FSA-Net (SynHead)", 8.29, 6.04, 8.58, 9.82),
        ("head pose paper, synthetic only", 6.34, 5.86, 6.51, 6.63),
        ("head pose paper, adapted to BIWI", 5.13, 4.876, 5.915, 5.28),
        ("head pose paper, synthetic and 1000 of BIWI", None, 4.62, 4.537, 3.33),
        ("Wang et al., synthetic and 12 000 of BIWI", None, 4.76, 5.48, 4.29),
        ("Gu et al., VGG16 (BIWI)", 3.66, 3.91, 4.03, 3.03),
        ("Ruiz et al., ResNet-50 (BIWI)", 3.23, 3.29, 3.39, 3.00),
        ("FSA-Net fusion (BIWI)", 3.6, 2.89, 4.29, 3.6),
        ("6DRepNet (300W-LP)", 3.47, None, None, None),
    ),
    "c3i": (),
    "pointing04": (),
    "points68": (),
    "synthetic": (),
    "table": (
        ("SASE: FSA-Net (300W-LP)", 5.59, 5.77, 7.27, 3.72),
        ("SASE: head pose paper, synthetic only", 6.63, 6.52, 7.76, 5.61),
        ("SASE: head pose paper, adapted to SASE", 6.04, 5.135, 7.28, 5.32),
        ("SASE: head pose paper, synthetic and 1000 of SASE", None, 5.097, 7.133, 3.64),
    ),
}
"""MAE, yaw, pitch, roll in degrees, as printed (the means of the three are 5.36 and 5.91 for the adapted rows). BIWI rows of other papers
differ in the frames they keep."""

BIWI_BACKGROUNDS: tuple[tuple[str, float, float, float, float], ...] = (
    ("plain", 7.13, 6.83, 7.22, 7.32),
    ("textured", 6.84, 6.39, 7.35, 6.77),
    ("real", 7.08, 6.63, 7.71, 6.9),
    ("textured and real", 6.34, 5.86, 6.51, 6.63),
)
"""The head pose paper's ablation on BIWI: MAE, yaw, pitch, roll in degrees."""

SWIN_ABLATION: tuple[tuple[str, float, float, float, float, float], ...] = (
    ("Swin-T, ImageNet-1K, no FAM", 27.4, 6.42, 1.123, 1.224, 1.286),
    ("Swin-T, ImageNet-1K, FAM", 28.0, 6.46, 1.115, 1.204, 1.166),
    ("Swin-S, ImageNet-1K, no FAM", 55.1, 10.8, 0.988, 1.196, 1.09),
    ("Swin-S, ImageNet-1K, FAM", 55.8, 11.1, 0.983, 1.18, 1.02),
    ("Swin-B, ImageNet-1K, no FAM", 87.0, 16.8, 0.978, 1.12, 0.99),
    ("Swin-B, ImageNet-1K, FAM", 87.6, 17.2, 0.972, 1.096, 0.982),
    ("Swin-B, ImageNet-22K, no FAM", 87.0, 16.8, 0.978, 1.098, 0.988),
    ("Swin-B, ImageNet-22K, FAM", 87.6, 17.2, 0.962, 1.088, 0.972),
    ("Swin-L, ImageNet-1K, no FAM", 197.4, 35.6, 0.968, 1.098, 0.97),
    ("Swin-L, ImageNet-1K, FAM", 198.0, 35.9, 0.964, 1.094, 0.972),
    ("Swin-L, ImageNet-22K, no FAM", 197.4, 35.6, 0.962, 1.112, 0.975),
    ("Swin-L, ImageNet-22K, FAM", 198.0, 35.9, 0.956, 1.086, 0.964),
)
"""Table 4: parameters in millions, GFLOPs, MICC mm cooperative, indoor, outdoor."""

BACKBONES: tuple[tuple[str, float, float, float, float, float], ...] = (
    ("ResNet-101", 42.0, 8.6, 1.112, 1.216, 1.226),
    ("ResNet-152", 62.0, 11.4, 1.105, 1.211, 1.166),
    ("R-101x3", 368.0, 204.6, 0.986, 1.108, 1.062),
    ("EfficientNetV2-L", 105.0, 53.0, 0.992, 1.113, 1.08),
    ("EfficientNetV2-XL", 198.0, 94.0, 0.988, 1.042, 1.02),
    ("ViT-B/16", 82.0, 55.5, 1.02, 1.105, 1.1),
    ("ViT-L/16", 298.0, 191.1, 0.993, 1.092, 1.054),
    ("Swin-B", 87.0, 16.8, 0.978, 1.098, 0.988),
    ("Swin-B, FAM", 87.6, 17.2, 0.962, 1.088, 0.972),
)
"""Table 5, at 256 px: the same columns."""

LOSS_WEIGHTS: tuple[tuple[str, float, float, float], ...] = (
    ("0, 0, 1, 0, 0", 2.012, 1.914, 1.957),
    ("0.001, 1, 0, 0, 0", 1.915, 1.820, 1.736),
    ("0.001, 1, 1, 0, 0", 1.684, 1.792, 1.592),
    ("0.001, 1, 1, 1, 0", 1.503, 1.656, 1.413),
    ("0.001, 1, 0.7, 1, 0", 1.326, 1.581, 1.324),
    ("0.001, 1.2, 0.7, 1, 0.1", 1.161, 1.486, 1.20),
    ("0.001, 1.2, 0.5, 1.2, 0.1", 0.983, 1.422, 1.182),
    ("0.001, 1.5, 0.5, 1.2, 0.1", 0.972, 1.296, 0.982),
    ("0.001, 1.7, 0.3, 1.2, 0.1", 0.956, 1.086, 0.964),
)
"""Table 6: loss weights w1 to w5, MICC mm cooperative, indoor, outdoor."""
