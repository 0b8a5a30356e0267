"""Feature visualization with and without a regularizer, of a standard and a robust network.

python -m rrjax.study --config=configs/regularized.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("regularized")
    config.units = 8  # of those that tell test images apart
    config.observed = 128  # test images that units are chosen by
    config.step_size = 0.1  # of the plain search, from noise; the paper's, at 224 pixels: 1.0
    config.steps = 200  # of the plain search: the paper's
    config.regularized_steps = 512  # and the next: Lucid's
    config.learning_rate = 0.05
    config.straight_through = True  # a unit that is zero grows too
    return config.lock()
