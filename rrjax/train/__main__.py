"""Train a network: python -m rrjax.train --config=robust_digits --workdir=runs/robust_digits.

One process drives all devices of its machine; several are given the same command, and --distributed
(SLURM, TPU pods) or --coordinator, --processes and --process. If one dies the others end as well.
"""

import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from rrjax import cli, data
from rrjax.train import loop
from rrjax.train.tasks import Task, autoencoder, classifier, finetune, vaegan


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    own = cli.process_flags()
    flags.DEFINE_bool(
        "accept_changes", False, "Resume a run although its config has changed.", flag_values=own
    )

    def run(config: ConfigDict, workdir: str) -> None:
        loop.check(config)
        batches = data.create(config)
        _say_what_is_trained(config, batches.class_names)
        task = create_task(config, batches.steps_per_epoch, workdir)
        loop.fit(task, batches, config, workdir, own.accept_changes)

    cli.run_command(run, "optimizer", argv, __doc__, own)


def _say_what_is_trained(config: ConfigDict, class_names: Sequence[str]) -> None:
    """Write into the config, which the run keeps, what the data and a module of one's own say."""
    with config.unlocked():
        config.data.class_names = tuple(class_names)
        if "module" in config.model and config.model.module:
            config.model.name = config.model.module


def create_task(config: ConfigDict, steps_per_epoch: int, workdir: str) -> Task:
    """Make the task of a training config; `workdir` tells a run that is resumed from a new one.

    Raises:
      BadInput: naming a field that is not possible.
    """
    if config.model.name == "vaegan":
        return vaegan.create(config)
    if config.model.name == "autoencoder":
        return autoencoder.create(config, steps_per_epoch, autoencoder.source(config, workdir))
    return classifier.create(config, steps_per_epoch, finetune.source(config, workdir))


if __name__ == "__main__":
    main(sys.argv)
