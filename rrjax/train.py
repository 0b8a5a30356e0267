"""Train: python -m rrjax.train --config=configs/robust_digits.py --workdir=runs/robust_digits"""

from rrjax import data, loop
from rrjax.door import open_door
from rrjax.tasks import classifier, finetune


def main(config, workdir: str) -> None:
    loop.check(config)
    batches = data.create(config)
    start = finetune.source(config, workdir)
    task = classifier.create(config, batches.steps_per_epoch, start)
    loop.fit(task, batches, config, workdir)


if __name__ == "__main__":
    open_door(main, kind="optimizer")
