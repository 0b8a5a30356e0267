r"""A network as it was drawn, as a run folder: to try commands at any size before a training.

python -m rrjax.convert --config=configs/untrained.py:robust_rin --workdir=runs/untrained

Behind the colon is the training config that says the architecture, the classes and the data, as in
configs/import_torch.py.
"""

from rrjax.configs import import_torch


def get_config(training=""):
    config = import_torch.get_config(training)
    with config.unlocked():
        config.convert = "untrained"
        del config.file
    return config
