"""Train: python -m rrjax.train --config=configs/robust_digits.py --workdir=runs/robust_digits

One process drives all devices of its machine; several are given the same command, and --distributed
(SLURM, TPU pods) or --coordinator, --processes and --process. If one dies the others end as well.
"""

from absl import flags

from rrjax import data
from rrjax.cli import open_door
from rrjax.train import loop, parallel
from rrjax.train.tasks import choice

CHANGES = flags.DEFINE_bool("accept_changes", False, "Go on with a run whose config has changed.")
CLUSTER = flags.DEFINE_bool("distributed", False, "Join the processes of a SLURM step or TPU pod.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of the first of the processes.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are.", 1)
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.", 0)


def main(config, workdir: str) -> None:
    if CLUSTER.value or COORDINATOR.value:
        parallel.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    loop.check(config)
    batches = data.create(config)
    task = choice.create(config, batches.steps_per_epoch, workdir)
    loop.fit(task, batches, config, workdir, CHANGES.value)


if __name__ == "__main__":
    open_door(main, kind="optimizer")
