"""The boundary-tilting toy of Kim et al. (2019): where do input gradients point?

python -m rrjax.study --config=configs/boundary.py --workdir=runs/boundary
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.study = "boundary"
    # Radii and step sizes are in the paper's units, in which the points lie in [-1,1].
    config.train_eps = (0.0, 0.25, 0.5)  # of training, a panel each; 0: standard
    config.attack_eps = 1.0  # of the attack that is looked at
    config.step_size = 2.0
    config.steps = 40
    config.n = 3000  # points of each of the two classes
    config.epochs = 10
    config.batch_size = 100
    config.learning_rate = 1e-3  # Adam's
    config.seeds = (0, 1, 2, 3, 4)  # of the networks
    config.seed = 0  # of the points
    return config.lock()
