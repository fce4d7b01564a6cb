"""Speed of training and of the regressor: the whole step against its backbone alone, the stream, and one crop on one thread.

python benchmarks/train.py                                   # the mobile network on this CPU
python benchmarks/train.py --device cuda --backbone swin_base --size 224 --batch 32 --fam
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import torch
from _report import median_seconds, print_header, print_table

from losses.total import LossWeights, weighted_sum
from recon.networks.onnx_export import compare_with_torch, export_onnx
from recon.networks.regressor import RegressorConfig
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.batch import TrainingBatch
from recon.training.module import FaceModelConfig, RegressorModule
from recon.training.terms import LossNetworks, loss_terms

_TARGET_RATIO = 1.35
_TARGET_MS = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenetv4_small")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fam", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print_header(arguments.threads)
    device = torch.device(arguments.device)
    module = _module(arguments).to(device)
    sampler = FaceSampler(module.decoder.model, SynthesisConfig(), 0, (arguments.size,) * 2, device)
    batch = TrainingBatch.of(sampler.batch(range(arguments.batch)))
    _step_table(module, batch, device, arguments.repeats)
    _stream_table(sampler, module, batch, device, arguments.batch)
    _crop_table(module)


def _module(arguments: argparse.Namespace) -> RegressorModule:
    config = RegressorConfig(
        arguments.backbone, arguments.size, fam=arguments.fam, pool="mean" if arguments.fam else "grid"
    )
    # All terms but the two that need weights from elsewhere: face recognition, and the discriminator's own step.
    names = [field.name for field in dataclasses.fields(LossWeights)]
    weights = LossWeights(**{**dict.fromkeys(names, 1.0), "perceptual": 0.0, "adversarial": 0.0})
    return RegressorModule(config, FaceModelConfig(render_region="face"), weights)


def _step_table(module: RegressorModule, batch: TrainingBatch, device: torch.device, repeats: int) -> None:
    precise = device.type == "cpu"
    picture = batch.image.contiguous(memory_format=torch.channels_last)

    def clear() -> None:
        module.regressor.zero_grad(set_to_none=True)

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def backbone_alone() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=not precise):
            total = sum(m.float().mean() for m in module.regressor.backbone(picture))
        total.backward()  # type: ignore[union-attr]
        clear()
        finish()

    def step(weights: LossWeights) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=not precise):
            found = module.regressor(picture, batch.intrinsics)
        faces = module.decoder.decode(found, batch.intrinsics)
        weighted_sum(loss_terms(faces, batch, weights, LossNetworks()), weights).backward()
        clear()
        finish()

    pictures = ("photometric", "depth", "normals")
    without = dataclasses.replace(module.weights, **dict.fromkeys(pictures, 0.0))
    points = dataclasses.replace(without, shape=0.0)
    rows = []
    alone = median_seconds(backbone_alone, repeats)[0]
    for name, call in (
        ("backbone alone", backbone_alone),
        ("with head, points, labels", lambda: step(points)),
        ("and all vertices", lambda: step(without)),
        ("and rendered pictures", lambda: step(module.weights)),
    ):
        median, least = median_seconds(call, repeats)
        rows.append((name, f"{1e3 * median:.0f}", f"{1e3 * least:.0f}", f"{median / alone:.2f}"))
    print_table(
        f"forward + backward, batch {len(batch)} at {batch.size[0]} px, ms (target on CUDA: Swin-B at most {_TARGET_RATIO})",
        ("step", "median", "least", "ratio"),
        rows,
    )


def _stream_table(
    sampler: FaceSampler, module: RegressorModule, batch: TrainingBatch, device: torch.device, count: int
) -> None:
    start = time.perf_counter()
    for k in range(2):
        sampler.batch(range((k + 1) * count, (k + 2) * count))
    if device.type == "cuda":
        torch.cuda.synchronize()
    per_second = 2 * count / (time.perf_counter() - start)
    rows = [("synthetic faces, everything on", f"{per_second:.1f}")]
    if device.type == "cuda":
        rows.append(("GPU utilisation at the end, percent", f"{torch.cuda.utilization()}"))
    print_table(f"stream at {batch.size[0]} px on {device}, pictures a second", ("stream", "rate"), rows)


def _crop_table(module: RegressorModule) -> None:
    torch.set_num_threads(1)
    regressor = module.averaged.to("cpu").eval()
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(regressor, Path(folder) / "network.onnx")
        gap, seconds = compare_with_torch(regressor, path, repeats=50)
    print_table(
        f"onnxruntime, one crop on one thread (target for the mobile network {_TARGET_MS:.0f} ms)",
        ("network", "ms", "largest relative gap to torch"),
        [(module.regressor.config.backbone, f"{1e3 * seconds:.1f}", f"{gap:.1e}")],
    )


if __name__ == "__main__":
    main()
