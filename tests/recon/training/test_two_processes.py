"""Two processes (gloo) give the gradients of one with the double batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys
import torch
import torch.distributed as dist
sys.path[:0] = [{here!r}, {networks!r}]
from training_parts import TINY, sampled, tiny_module
import bfm
from torch.nn.parallel import DistributedDataParallel

torch.set_num_threads(1)
rank, world = int(sys.argv[1]), 2
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=world)
steady = {{**TINY["swin_tiny"], "drop_path_rate": 0.0}}
module = tiny_module(backbone_options=steady)
module.log = module.log_dict = lambda *a, **k: None
batch = sampled(bfm.load("open"), 4)

class Step(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.regressor = module.regressor
    def forward(self, part):
        return module.training_step(part, 0)

together = DistributedDataParallel(Step())  # its hooks live as long as it does
together(batch.select(slice(2 * rank, 2 * rank + 2))).backward()
shared = [p.grad.clone() for p in module.regressor.parameters()]
module.zero_grad()
module.training_step(batch, 0).backward()
names = [name for name, _ in module.regressor.named_parameters()]
gaps = [float((a - p.grad).abs().max() / p.grad.abs().max().clamp_min(1e-4)) for a, p in zip(shared, module.regressor.parameters())]
worst = max(zip(gaps, names))
assert worst[0] < 2e-3, worst
alone = tiny_module(backbone_options=steady)
alone.log = alone.log_dict = lambda *a, **k: None
alone.training_step(batch.select(slice(0, 2)), 0).backward()
other = max(float((a - b.grad).abs().max() / b.grad.abs().max().clamp_min(1e-6)) for a, b in zip(shared, alone.regressor.parameters()))
assert other > 0.05, "half of the batch has another gradient"
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_gradients_of_two_are_those_of_the_double_batch(tmp_path):
    here = Path(__file__).parent
    script = tmp_path / "step.py"
    script.write_text(_SCRIPT.format(here=str(here), networks=str(here.parent / "networks")))
    environment = {**os.environ, "PYTHONPATH": str(here.parents[2]), "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "meet")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [run.communicate(timeout=600)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(outputs)
