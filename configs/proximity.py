"""How near can the representation of one image be brought to another's, within a radius?

python -m rrjax.study --config=configs/proximity.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("proximity")
    config.n = 32  # pairs of test images of different classes; of photographs any
    config.radii = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # l2, in units of pixels in [0,1]
    config.steps = 100  # of size 2.5 * radius / steps
    config.free_steps = 500  # of the search that no radius holds
    config.free_step_size = 0.1  # the paper's, at 224 pixels: 1.0
    config.straight_through = False  # as in configs/inversion.py
    return config.lock()
