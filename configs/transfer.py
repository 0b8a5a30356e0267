"""Representations put to use: a linear probe and nearest neighbors on another data set.

python -m rrjax.study --config=configs/transfer.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = defaults.study("transfer")
    # The other data set: "patterns", four kinds drawn here; or a name and a path as in training.
    config.other = ConfigDict({"name": "patterns", "path": ""})
    config.train_n = 1000  # of its training images
    config.test_n = 500  # of its test images
    config.neighbors = 5  # of k-NN, by the cosine of representations
    config.shown = 6  # images whose neighbors are shown
    config.pixels = True  # the pixels as a baseline, which has to hold all of them in memory
    return config.lock()
