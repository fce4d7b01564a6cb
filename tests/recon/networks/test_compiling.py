"""``torch.compile``: off by default, refused where it cannot work, and the same network where it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recon.networks import compiling
from recon.networks.compiling import CompilerMissing, compile_network, require_compiler

_SCRIPT = """
import copy, sys
import torch
sys.path.insert(0, {here!r})
from network_parts import intrinsics, pictures, tiny_regressor
from recon.networks.compiling import compile_network

torch.set_num_threads(1)
plain = tiny_regressor("resnet18", fam=False).eval()
compiled = copy.deepcopy(plain)
compile_network(compiled, "cpu")
answers = [network(pictures(), intrinsics()).tensors() for network in (plain, compiled)]
for name, wanted in answers[0].items():
    torch.testing.assert_close(answers[1][name], wanted, atol=1e-5, rtol=1e-5)
for answer in answers:
    sum(value.square().sum() for value in answer.values()).backward()
for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
    torch.testing.assert_close(other.grad, one.grad, atol=1e-4 * float(one.grad.abs().max()), rtol=1e-3)
assert list(compiled.state_dict()) == list(plain.state_dict())
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1, "nothing was compiled"
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="written for POSIX compilers")
def test_a_compiled_network_is_the_same_network(tmp_path):
    # In a process of its own: the checks of shapes under pytest are not what users compile.
    here = Path(__file__).parent
    script = tmp_path / "compiled.py"
    script.write_text(_SCRIPT.format(here=str(here)))
    environment = {**os.environ, "PYTHONPATH": str(here.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_cpu_without_a_compiler_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerMissing, match=r"needs a C\+\+ compiler on the CPU, and none of g\+\+, .* leave model"):
        require_compiler("cpu")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilerMissing, match="CXX names 'no-such-compiler', which is not there"):
        require_compiler("cpu")
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("CXX", "mine")
    require_compiler("cpu")


def test_a_gpu_without_triton_is_told_and_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: None)

    class Network(torch.nn.Module):
        def compile(self, *arguments, **options):
            raise AssertionError("compiled before the check")

    with pytest.raises(
        CompilerMissing, match=r"needs the package triton on 'cuda'.* leave model\.init_args\.run\.compile off"
    ):
        compile_network(Network(), "cuda")
