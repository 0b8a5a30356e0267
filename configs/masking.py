"""Is a network's robustness real, or are its gradients masked? Stronger and outside attacks.

python -m rrjax.study --config=configs/masking.py --workdir=runs/quickstart

foolbox's attacks are part of it where foolbox is installed (pip install foolbox).
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = ConfigDict()
    config.study = "masking"
    # What `rrjax.load` takes: run folders, names of networks, files.
    config.networks = ("runs/quickstart/standard", "runs/quickstart/robust")
    config.source = "runs/quickstart/standard"  # whose adversarial examples are tried on the others
    config.checkpoint = "latest"  # or "best"
    # Where the networks' test data lie now; empty: where they lay in training.
    config.data = ConfigDict({"name": "", "path": ""})
    config.norm = "l2"  # or "linf"
    config.eps = 1.0  # in units of pixels in [0,1]
    config.steps = 20  # of size 2.5 * eps / steps; the attack that the others are compared with
    config.more_steps = 100
    config.restarts = 5  # of random starts in the ball
    config.far = 8.0  # times eps: there no accuracy may be left
    config.curve = (1, 2, 5, 10, 20, 50, 100)  # steps of the picture
    config.n = 0  # test images, drawn by the seed; 0: all
    config.batch_size = 128
    config.seed = 0
    defaults.precision(config)
    return config.lock()
