"""What does one coordinate of the representation stand for? Grow it, from several starts.

python -m rrjax.study --config=configs/visualization.py --workdir=runs/quickstart

Of images of 224 pixels, with the settings of Engstrom et al. (2019), appendix A.6 and its notebook:
--config=configs/visualization.py:paper. Chosen units and images, as in its Figures 19 and 20:
--config.first_units="(200,500)" --config.first_images="('dog','bird')".
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("visualization", settings, SETTINGS)
    # What units are of: "representation"; a stage, as "layer3", whose channels are grown by their
    # means over the map; or "logits".
    config.stage = "representation"
    config.units = 10
    config.first_units = ()  # these come first; the others are drawn, of those that differ
    config.observed = 128  # test images that units are drawn by
    config.n = 4  # starts of each kind: noise, and test images
    # Test images that come first: a number is a place in the test set, a name a class to draw from.
    config.first_images = ()
    config.step_size = 0.1
    config.steps = 200  # the paper's
    config.straight_through = True  # the paper's: a unit that is zero grows too
    config.record = 0  # snapshots of the way from the first start, drawn as a strip a unit
    if settings == "paper":
        config.update(units=5, n=2, step_size=1.0)
    return config.lock()
