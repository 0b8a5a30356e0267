"""Representation inversion with a standard and a robust network, side by side.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart
"""

from configs import defaults


def get_config():
    config = defaults.study("inversion")
    config.targets = ("test images", "photographs", "patterns")
    config.starts = ("noise", "other test images")
    config.n = 32  # images of each kind
    config.eps = 1000.0  # in units of pixels in [0,1]; never binds
    config.step_size = 0.1  # the paper's, at 224 pixels: 1.0
    config.steps = 500  # the paper's: 10,000
    # Whether the last ReLU passes gradients to dead units. The paper's: True. On digits that biases
    # the gradient of the pooled R(x), and inversion stops at three times the distance (README).
    config.straight_through = False
    config.keep = "best"  # the paper's notebook: "last"
    return config.lock()
