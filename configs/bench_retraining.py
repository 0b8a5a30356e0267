"""The networks of a retraining study in one program, beside a loop of training steps: digits.

python -m rrjax.bench --config=configs/bench_retraining.py --workdir=runs/bench_retraining
"""

from ml_collections import ConfigDict

from rrjax.configs import robust_digits


def get_config():
    config = ConfigDict()
    config.bench = "retraining"
    config.model = robust_digits.get_config().model.copy_and_resolve_references()
    config.model.update(name="tiny", width=64)
    config.image_size = 16
    config.seeds = (0, 1)
    config.counts = (26, 128, 230)  # pixels removed: 10, 50 and 90 %
    config.epochs = 5
    config.batch_size = 100
    config.learning_rate = 0.005
    config.at_once = (1, 6)  # networks trained side by side
    config.rounds = 5
    config.seed = 0
    return config.lock()
