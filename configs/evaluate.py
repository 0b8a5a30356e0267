"""Accuracy under attack of a standard and a robust run, in the form of the paper's Tables 4 and 5.

python -m rrjax.evaluate --config=configs/evaluate.py --workdir=runs/quickstart

Another network: --config.robust=runs/mine, and --config.standard= (empty) to leave one out. A
network is a run folder, a file of PyTorch's, or a name, as cifar10_robust_l2_eps05 (rrjax list) or
resnet50_l2_eps3 (docs/published.md).

At the radii of the paper's Tables 4 and 5: --config=configs/evaluate.py:paper
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    defaults.check_settings("evaluate", settings, SETTINGS)
    config = ConfigDict()
    config.standard = "runs/quickstart/standard"
    config.robust = "runs/quickstart/robust"
    config.more = ()  # further networks
    config.checkpoint = "latest"  # or "best"
    # Where the networks' test data lie now; empty: where they lay in training.
    config.data = ConfigDict({"name": "", "path": ""})
    config.norm = "l2"
    config.eps = (0.0, 0.5, 1.0, 2.0)  # in units of pixels in [0,1]
    config.steps = (20, 100)  # each of size 2.5 * eps / steps
    config.random_start = "none"
    config.restarts = 1
    config.n = 0  # test images, drawn by the seed; 0: all
    config.record = 8  # test images drawn under the last attack of every eps; 0: none
    config.batch_size = 128
    config.seed = 0
    defaults.precision(config)
    if settings == "paper":
        config.eps = (0.0, 0.5, 1.0, 2.0, 3.0)
    return config.lock()
