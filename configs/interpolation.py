"""Between two images: by their representations, and by their pixels.

python -m rrjax.study --config=configs/interpolation.py --workdir=runs/quickstart

Of images of 224 pixels, with the settings of Engstrom et al. (2019), appendix A.6:
--config=configs/interpolation.py:paper
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("interpolation", settings, SETTINGS)
    config.stage = "representation"  # or an earlier one, as "layer3", or "logits"
    config.n = 32  # pairs of test images
    # As in configs/visualization.py: the first n of them are the left images, then come the right.
    config.first_images = ()
    config.points = 10  # of each path, its ends among them: the paper's
    config.gallery = 256  # test images among which a midpoint's nearest is looked for
    config.step_size = 0.1
    config.steps = 500
    config.straight_through = False  # as in configs/inversion.py
    if settings == "paper":
        # How many pairs is not said: Figures 12, 17 and 18 show a few.
        config.update(n=8, step_size=1.0, steps=10_000, straight_through=True)
    return config.lock()
