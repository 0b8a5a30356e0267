"""How near can the representation of one image be brought to another's, within a radius?

python -m rrjax.study --config=configs/proximity.py --workdir=runs/quickstart

Of images of 224 pixels, for Figures 2, 4 and 5 of Engstrom et al. (2019):
--config=configs/proximity.py:paper
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("proximity", settings, SETTINGS)
    config.stage = "representation"  # or an earlier one, as "layer3", or "logits"
    config.n = 32  # pairs of test images of different classes; of photographs any
    config.first_images = ()  # sources that come first, as in configs/visualization.py
    config.radii = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # l2, in units of pixels in [0,1]
    config.steps = 100  # of size 2.5 * radius / steps
    config.free_steps = 500  # of the search that no radius holds
    config.free_step_size = 0.1
    config.straight_through = False  # as in configs/inversion.py
    if settings == "paper":
        # The search without a radius is the paper's inversion. Its radii, their steps and the
        # number of pairs are not said: the radii are chosen about its eps of 3, the others kept.
        config.radii = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
        config.update(free_step_size=1.0, free_steps=10_000, straight_through=True)
    return config.lock()
