"""What excites a unit: the input that maximizes it, beside the test images that do and do not.

python -m rrjax.study --config=configs/activations.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("activations")
    config.units = 5  # of those that tell test images apart
    config.shown = 5  # test images at either end: the paper shows 3, its notebook 5
    config.n = 300  # test images to choose from
    config.eps = 500.0  # this and the next three: the paper's notebook's
    config.step_size = 0.5
    config.steps = 1500
    config.straight_through = True
    return config.lock()
