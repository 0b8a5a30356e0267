"""Accuracy under attack of a standard and a robust run, in the form of the paper's Tables 4 and 5.

python -m rrjax.evaluate --config=configs/evaluate.py --workdir=runs/quickstart

Another run folder: --config.robust=runs/mine, and --config.standard= (empty) to leave one out.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.standard = "runs/quickstart/standard"
    config.robust = "runs/quickstart/robust"
    config.checkpoint = "latest"  # or "best"
    config.norm = "l2"
    config.eps = (0.0, 0.5, 1.0, 2.0)  # in units of pixels in [0,1]
    config.steps = (20, 100)  # each of size 2.5 * eps / steps
    config.random_start = "none"
    config.restarts = 1
    config.batch_size = 128
    config.seed = 0
    return config.lock()
