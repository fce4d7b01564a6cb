"""Train, validate or test a regressor: ``python train.py fit --config configs/smoke.yaml``.

Every key of a config can be given on the command line too: ``--model.init_args.optimiser.rate 1e-4``. ``--print_config``
shows all of them; an unknown key is an error. A config may build on another one: ``base: OTHER.yaml``. A run that was
interrupted or killed goes on with ``--ckpt_path runs/.../last.ckpt``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from recon.io.extras import pip_hint

try:
    import lightning
    from jsonargparse import ActionConfigFile
    from lightning import LightningDataModule, Trainer
    from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
except ImportError as error:
    sys.exit(f"train.py: {pip_hint(error) or error}")

from recon.training.averaged import AveragedModule
from recon.training.config_parser import TrainingParser
from recon.training.ending import run_training
from recon.training.saving import WholeCheckpoints


def crop_size(model: Any) -> int | tuple[int, int] | None:
    """Side of the crops that the module's network takes, or (H, W) of its pictures; ``None`` if it takes none, as data without a size,
    or leaves no choice."""
    arguments = model.init_args
    if "network" not in arguments and "regressor" not in arguments:
        return None
    network = arguments.network if "network" in arguments else arguments.regressor
    if "init_args" in network:  # one of several classes of configs
        network = network.init_args
    if "size" not in network:
        return None
    return network.size if isinstance(network.size, int) else (int(network.size[0]), int(network.size[1]))


class TrainingCli(LightningCLI):
    """Fills in what data and module must agree on."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        self._sources: list[Path] = []
        super().__init__(*positional, **named)

    def init_parser(self, **settings: Any) -> LightningArgumentParser:
        """As Lightning's, of configs that may have a base."""
        settings.setdefault("dump_header", [f"lightning.pytorch=={lightning.__version__}"])
        parser = TrainingParser(sources=self._sources, **settings)
        parser.add_argument(
            "-c", "--config", action=ActionConfigFile, help="Path to a configuration file in YAML format."
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data follow the module's picture size and face model."""
        parser.link_arguments("model", "data.init_args.size", compute_fn=crop_size)
        for name in ("point_sets", "voice", "window", "guide"):
            parser.link_arguments(f"model.init_args.network.{name}", f"data.init_args.{name}")
        parser.link_arguments("model.init_args.initial_weights", "data.init_args.initial_weights")
        parser.link_arguments("model.init_args.face_model", "data.init_args.face_model")

    def _parse_ckpt_path(self) -> None:
        """Leave the config as it is: it alone says what is built. Lightning would merge classes and settings into it that a
        checkpoint names, whatever they are called by now; checkpoints are read by :class:`WholeCheckpoints`.
        """

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
