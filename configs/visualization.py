"""What does one coordinate of the representation stand for? Grow it, from several starts.

python -m rrjax.study --config=configs/visualization.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("visualization")
    config.units = 10  # of those that tell test images apart
    config.observed = 128  # test images that units are chosen by
    config.n = 4  # starts of each kind: noise, and test images
    config.step_size = 0.1  # the paper's, at 224 pixels: 1.0
    config.steps = 200  # the paper's
    config.straight_through = True  # the paper's: a unit that is zero grows too
    return config.lock()
