"""Feature visualization with and without a regularizer, of a standard and a robust network.

python -m rrjax.study --config=configs/regularized.py --workdir=runs/quickstart

Of images of 224 pixels, the first four units, as Figure 10 of Engstrom et al. (2019) has it:
--config=configs/regularized.py:paper
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("regularized", settings, SETTINGS)
    config.units = 8
    config.first_units = ()  # these come first; the others are drawn, of those that differ
    config.observed = 128  # test images that units are drawn by
    config.step_size = 0.1  # of the plain search, from noise
    config.steps = 200  # of the plain search: the paper's
    config.regularized_steps = 512  # and the next: Lucid's
    config.learning_rate = 0.05
    config.straight_through = True  # a unit that is zero grows too
    if settings == "paper":
        config.update(units=4, first_units=(0, 1, 2, 3), step_size=1.0)
    return config.lock()
