"""Which task a training config asks for: its model says so."""

from rrjax.train.tasks import Task, autoencoder, classifier, finetune, vaegan


def create(config, steps_per_epoch: int, workdir: str) -> Task:
    """Make the task of a training config; `workdir` tells a run that goes on from a new one.

    Raises:
      BadInput: naming a field that is not possible.
    """
    if config.model.name == "vaegan":
        return vaegan.create(config)
    if config.model.name == "autoencoder":
        return autoencoder.create(config, steps_per_epoch, autoencoder.source(config, workdir))
    return classifier.create(config, steps_per_epoch, finetune.source(config, workdir))
