"""Between two images: by their representations, and by their pixels.

python -m rrjax.study --config=configs/interpolation.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("interpolation")
    config.n = 32  # pairs of test images
    config.points = 10  # of each path, its ends among them: the paper's
    config.gallery = 256  # test images among which a midpoint's nearest is looked for
    config.step_size = 0.1  # the paper's, at 224 pixels: 1.0
    config.steps = 500  # the paper's: 10,000
    config.straight_through = False  # as in configs/inversion.py
    return config.lock()
