"""Counting parameters and multiply-adds."""

import dataclasses
import json

import pytest
import torch
from network_parts import BLOCKS, SIZE, TINY, tiny_landmark_network, tiny_regressor

from recon.cli import main
from recon.networks.complexity import BFM_BLOCKS, LANDMARK_ROWS, PAPER_ROWS, complexity
from recon.networks.regressor import RegressorConfig


def _tiny(size: int, **changes) -> RegressorConfig:
    return RegressorConfig("swin_tiny", size, backbone_options=TINY["swin_tiny"], **changes)


def test_counts_are_those_of_the_network():
    network = tiny_regressor()
    millions, gflops = complexity(_tiny(SIZE), BLOCKS)
    assert millions == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6)
    assert gflops > 0.0
    larger = complexity(_tiny(2 * SIZE), BLOCKS)
    assert larger[1] == pytest.approx(4.0 * gflops, rel=0.1)


def test_multiply_adds_of_a_network_known_to_everybody():
    millions, gflops = complexity(RegressorConfig("resnet18", 224, fam=False), BFM_BLOCKS)
    assert gflops == pytest.approx(1.81, abs=0.02)
    assert millions == pytest.approx(11.3, abs=0.15)


def test_every_row_of_the_tables_is_there():
    assert len([row for row in PAPER_ROWS if row.table == 4]) == 8
    assert len([row for row in PAPER_ROWS if row.table == 5]) == 9


def test_counts_of_a_landmark_network_are_those_of_the_network():
    network = tiny_landmark_network()
    millions, gflops = complexity(network.config, BFM_BLOCKS)
    assert millions == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6)
    more = complexity(dataclasses.replace(network.config, corrections=3), BFM_BLOCKS)
    per_point = 16 * 64 + 64 * 64 + 64 * 6  # the layers of one correction
    assert 1e9 * (more[1] - gflops) == pytest.approx(998 * per_point)
    assert more[0] == millions, "corrections share their weights"


def test_the_networks_of_the_dissertation_stand_beside_ours():
    rows = {row.label: row for row in LANDMARK_ROWS if row.table == "5.3"}
    assert {(row.parameters_m, row.gflops) for row in rows.values()} == {(16.03, 5.13), (4.18, 0.39)}
    for row in rows.values():
        assert row.config.head == "direct" and row.config.n_points == 520
    # Of MobileNetV2 the features end before the last convolution, which makes up most of the difference.
    millions, gflops = complexity(rows["MobileNetV2, 520 points"].config, BFM_BLOCKS)
    last_m, last_g = 1e-6 * (320 * 1280 + 2 * 1280), 1e-9 * 320 * 1280 * 8 * 8
    linear_m, linear_g = 1e-6 * 1560 * (1280 - 320), 1e-9 * 1560 * (1280 - 320)
    assert millions + last_m + linear_m == pytest.approx(4.18, rel=0.012)
    assert gflops + last_g + linear_g == pytest.approx(0.39, abs=0.005)
    assert [row.config.size for row in LANDMARK_ROWS if not row.table] == [128, 160]


@pytest.mark.slow
def test_the_command_prints_ours_beside_the_papers(capsys):
    torch.manual_seed(0)
    assert main(["complexity", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    swin = next(row for row in rows if row["network"] == "Swin-T" and row["table"] == 4)
    assert swin["paper_parameters_m"] == 27.4 and swin["parameters_m"] == pytest.approx(27.7, abs=0.5)
    assert all(row["gflops"] > 0.0 for row in rows)
    small = next(row for row in rows if row["table"] == "5.3" and "MobileNetV2" in row["network"])
    assert small["paper_parameters_m"] == 4.18 and small["parameters_m"] == pytest.approx(2.31, abs=0.01)
    # Where the footnote names a size, counting at it gives the printed figure.
    named = [row for row in rows if row["paper_likely_px"]]
    assert {row["network"] for row in named} == {
        "ResNet-152", "R-101x3", "EffNetV2-L", "EffNetV2-XL", "ViT-B/16", "ViT-L/16",
    }  # fmt: skip
    for row in named:
        wide = 0.06 if row["network"] == "EffNetV2-L" else 0.012
        assert row["gflops_at_likely_px"] == pytest.approx(row["paper_gflops"], rel=wide), row["network"]
        assert row["gflops"] != pytest.approx(row["paper_gflops"], rel=0.1), row["network"]
    depth = {row["network"]: row for row in rows if row["table"] == "depth"}
    assert depth["UNet-simple"]["parameters_m"] == depth["UNet-simple"]["paper_parameters_m"] == 17.27
    assert depth["UNet-simple"]["size_px"] == "640 x 480"
    assert len(depth) == 15 and all(row["parameters_m"] > 0.0 for row in depth.values())
    assert any(row["network"] == "our depth of face crops" and row["table"] is None for row in rows)
    assert {row["network"]: row["parameters_m"] for row in rows if row["size_px"] == 112} == {
        "our identity network": 1.79, "ArcFace, IResNet-18": 24.03, "ArcFace, IResNet-50": 43.59, "ArcFace, IResNet-100": 65.16
    }  # fmt: skip
    assert main(["complexity"]) == 0
    assert "tuned on ImageNet" in " ".join(capsys.readouterr().out.split())


def test_white_light_leaves_out_eighteen_outputs_and_the_papers_rows_have_it():
    sizes = [complexity(_tiny(SIZE, white_light=white), BLOCKS)[0] for white in (False, True)]
    width = tiny_regressor().head.linear.in_features
    assert 1e6 * (sizes[0] - sizes[1]) == pytest.approx(18 * (width + 1))
    assert all(row.config.white_light for row in PAPER_ROWS)
