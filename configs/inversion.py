"""Representation inversion with a standard and a robust network, side by side.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart

Of images of 224 pixels, with the settings of Engstrom et al. (2019), appendix A.6:
--config=configs/inversion.py:paper
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("inversion", settings, SETTINGS)
    config.stage = "representation"  # what is inverted; or an earlier one, as "layer3", or "logits"
    # What to invert: "test images", "photographs", "patterns", "unseen classes".
    config.targets = ("test images", "photographs", "patterns")
    # Of a set with other classes than those of training, which are left out: a name and a path, as
    # in training.
    config.unseen = ConfigDict({"name": "folder", "path": ""})
    config.starts = ("noise", "other test images")
    config.n = 32  # images of each kind
    config.first_images = ()  # targets that come first, as in configs/visualization.py
    config.eps = 1000.0  # in units of pixels in [0,1]; never binds
    config.step_size = 0.1
    config.steps = 500
    # Whether the last ReLU passes gradients to dead units. The paper's: True. On digits that biases
    # the gradient of the pooled R(x), and inversion stops at three times the distance
    # (docs/results/representations.md).
    config.straight_through = False
    config.return_iterate = "best"  # or "last"
    config.record = 0  # snapshots of the way to an inversion, drawn as a strip an image
    if settings == "paper":
        config.update(step_size=1.0, steps=10_000, straight_through=True, return_iterate="last")
        config.n = 10
    return config.lock()
