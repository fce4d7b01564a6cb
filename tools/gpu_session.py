"""All that a GPU is wanted for, in one go of a quarter of an hour: parity of back ends, speeds, and a leg of training that resumes.

    python tools/gpu_session.py -o out                       # on a machine with CUDA
    python tools/gpu_session.py -o out --resume last.ckpt    # the next leg
    python tools/gpu_session.py -o out --dry-run             # on a CPU, at tiny sizes: does every part run?

Each part is a process of its own with a log in the folder; ``report.json`` has commands, exit codes and seconds. Training writes
``best.safetensors`` and ``last.ckpt`` below ``training``; it ends by itself when the time is up.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from recon.io.files import write_file

ROOT = Path(__file__).resolve().parents[1]
CUDA_TESTS = ("tests/recon/render", "tests/recon/synthesis", "tests/recon/training", "tests/bfm")


@dataclasses.dataclass(frozen=True)
class Part:
    """One process.

    Attributes:
        name: of its log.
        command: after the interpreter.
        limit_s: after which it is stopped.
    """

    name: str
    command: Sequence[str]
    limit_s: float


def parts(out: Path, minutes: float, resume: Path | None, dry: bool) -> list[Part]:
    """What is done, in this order: what is quick and tells most comes first."""
    device = "cpu" if dry else "cuda"
    sizes = ["--backbone", "mobilenetv4_small_050", "--size", "64", "--batch", "2", "--repeats", "1"]
    if not dry:
        sizes = ["--backbone", "swin_base", "--size", "224", "--batch", "32", "--fam"]
    stream = ["--batches", "1" if dry else "8"]
    return [
        Part("parity", ["-m", "pytest", "-q", "-m", "cuda", *CUDA_TESTS, *(["--collect-only"] if dry else [])], 240.0),
        Part("step", ["benchmarks/train.py", "--device", device, *sizes], 180.0),
        Part("stream", ["benchmarks/synthesis.py", "--device", device, *stream], 180.0),
        Part("training", training(out / "training", minutes, resume, dry), 60.0 * minutes + 240.0),
    ]


def training(folder: Path, minutes: float, resume: Path | None, dry: bool) -> list[str]:
    """The command of a leg."""
    place = [f"--trainer.default_root_dir={folder}", f"--trainer.logger.init_args.save_dir={folder}"]
    time_limit = f"--trainer.max_time={{minutes: {max(1, round(minutes))}}}"
    command = ["train.py", "fit", "--config"]
    if dry:
        few = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--data.init_args.held_out.count=16"]
        command += ["configs/smoke.yaml", *few, "--data.init_args.plan.batch_size=8"]
    else:
        command += ["configs/swin_tiny_fam.yaml", time_limit, "--trainer.precision=bf16-mixed"]
    return [*command, *place, *([] if resume is None else [f"--ckpt_path={resume}"])]


def carry_out(part: Part, out: Path) -> dict[str, object]:
    """Run a part; what it says goes into its log."""
    begun = time.monotonic()
    with open(out / f"{part.name}.log", "wb") as log:
        try:
            code = subprocess.run(
                [sys.executable, *part.command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=part.limit_s
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    return {
        "command": " ".join(["python", *part.command]),
        "exit_code": code,
        "stopped": code == -1,
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0, help="of training [7]")
    parser.add_argument("--resume", type=Path, help="last.ckpt of the leg before")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    if not arguments.dry_run and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device; --dry-run tries all parts on the CPU")
    if arguments.resume is not None and not arguments.resume.is_file():
        raise SystemExit(f"no such checkpoint: {arguments.resume}")
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, dict[str, object]] = {}
    for part in parts(out, arguments.minutes, arguments.resume, arguments.dry_run):
        report[part.name] = carry_out(part, out)
        write_file(out / "report.json", json.dumps(report, indent=1).encode(), overwrite=True)
        print(part.name, report[part.name]["exit_code"], f"{report[part.name]['seconds']} s", flush=True)
    raise SystemExit(1 if any(told["exit_code"] for told in report.values()) else 0)


if __name__ == "__main__":
    main()
