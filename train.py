"""Train, validate or test a regressor: ``python train.py fit --config configs/smoke.yaml``.

Every key of a config can be given on the command line too: ``--model.optimiser.rate 1e-4``. ``--print_config`` shows all of
them; an unknown key is an error. A run that was interrupted or killed goes on with ``--ckpt_path runs/.../last.ckpt``.
"""

from __future__ import annotations

import sys
from typing import Any

from recon.io.extras import pip_hint

try:
    import jsonargparse  # noqa: F401  (lightning does without until the command line is read)
    from lightning import LightningDataModule, Trainer
    from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
except ImportError as error:
    sys.exit(f"train.py: {pip_hint(error) or error}")

from recon.training.averaged import AveragedModule
from recon.training.ending import run_training
from recon.training.saving import WholeCheckpoints


def _crop_size(model: Any) -> int:
    """Side of the crops that the module's network takes."""
    arguments = model.init_args
    network = arguments.network if "network" in arguments else arguments.regressor
    return int(network.size)


class TrainingCli(LightningCLI):
    """Fills in what data and module must agree on."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data follow the module's picture size and face model."""
        parser.link_arguments("model", "data.init_args.size", compute_fn=_crop_size)
        parser.link_arguments("model.init_args.network.point_sets", "data.init_args.point_sets")
        parser.link_arguments("model.init_args.face_model", "data.init_args.face_model")

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """With checkpoints that survive an interrupt and a full disk."""
        given = self._get(self.config_init, "trainer", default={}).get("plugins") or []
        plugins = [*(given if isinstance(given, list) else [given]), WholeCheckpoints()]
        return super().instantiate_trainer(plugins=plugins, **settings)


def main(arguments: list[str] | None = None) -> TrainingCli:
    """Run the command line."""
    return TrainingCli(
        AveragedModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_kwargs={"overwrite": True},
        args=arguments,
    )


if __name__ == "__main__":
    sys.exit(run_training(main, ["python", *sys.argv]))
