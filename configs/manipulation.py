"""Add a feature to an image: grow one coordinate of its representation until it is enough.

python -m rrjax.study --config=configs/manipulation.py --workdir=runs/quickstart

Of images of 224 pixels, as Engstrom et al. (2019) have it: --config=configs/manipulation.py:paper.
The units of their notebook belong to their own network: for another one give --config.first_units,
and --config.first_images, as configs/visualization.py has them.
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("manipulation", settings, SETTINGS)
    config.units = 8
    config.first_units = ()  # these come first; the others are drawn, of those that differ
    config.observed = 128  # test images that units are drawn by
    config.n = 8  # test images, to each of which each unit is added
    config.first_images = ()  # as in configs/visualization.py
    config.threshold = 1.0  # of the stop rule of the paper's code, in units of R(x)
    config.step_size = 0.1  # the paper's
    config.steps = 800  # the paper's, at most
    config.straight_through = True  # the paper's: a unit that is zero grows too
    if settings == "paper":
        # The notebook's; which of them are the paper's "stripes" and "red limbs" is not said.
        config.update(units=3, first_units=(200, 500, 760), n=10)
    return config.lock()
