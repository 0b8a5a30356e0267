"""What excites a unit: the input that maximizes it, beside the test images that do and do not.

python -m rrjax.study --config=configs/activations.py --workdir=runs/quickstart

Over the whole test set, three images at either end, as Figure 8 of Engstrom et al. (2019) has it:
--config=configs/activations.py:paper
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("activations", settings, SETTINGS)
    config.units = 5
    config.first_units = ()  # these come first; the others are drawn, of those that differ
    config.shown = 5  # test images at either end: the paper shows 3, its notebook 5
    config.n = 300  # test images to choose from; 0: all
    config.eps = 500.0  # this and the next three: the paper's notebook's
    config.step_size = 0.5
    config.steps = 1500
    config.straight_through = True
    if settings == "paper":
        # How many units the paper looked at is not said; batches of a forward pass are larger.
        config.update(shown=3, n=0, batch_size=128)
    return config.lock()
