"""Add a feature to an image: grow one coordinate of its representation until it is enough.

python -m rrjax.study --config=configs/manipulation.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("manipulation")
    config.units = 8  # of those that tell test images apart
    config.observed = 128  # test images that units are chosen by
    config.n = 8  # test images, to each of which each unit is added
    config.threshold = 1.0  # of the stop rule of the paper's code, in units of R(x)
    config.step_size = 0.1  # the paper's
    config.steps = 800  # the paper's, at most
    config.straight_through = True  # the paper's: a unit that is zero grows too
    return config.lock()
