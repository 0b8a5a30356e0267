"""Accuracy and inversion against the eps of training, three seeds each, on digits.

bash launch/training_eps.sh trains the networks, then runs
python -m rrjax.study --config=configs/training_eps.py
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = ConfigDict()
    config.study = "training_eps"
    config.root = "runs/training_eps"  # holds eps{eps}_seed{seed} run folders
    config.checkpoint = "latest"
    config.train_eps = (0.0, 0.5, 1.0, 1.5, 2.0)  # in units of pixels in [0,1]
    config.seeds = (0, 1, 2)
    config.test_eps = (0.0, 1.0, 2.0)
    config.attack_steps = 20  # each of size 2.5 * eps / steps
    config.batch_size = 128
    config.n = 32  # images to invert
    config.inversion_eps = 1000.0
    config.inversion_step_size = 0.1
    config.inversion_steps = 500
    # Whether the last ReLU passes gradients to dead units. The paper's: True. On digits that biases
    # the gradient of the pooled R(x), and inversion stops at three times the distance
    # (docs/results/representations.md).
    config.straight_through = False
    config.return_iterate = "best"
    config.seed = 0
    defaults.precision(config)
    return config.lock()
