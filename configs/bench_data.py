"""Images per second of the training pipeline, by decoder and workers, beside other loaders.

python -m rrjax.bench --config=configs/bench_data.py --workdir=runs/bench_data
"""

from ml_collections import ConfigDict

from configs import robust_imagenet


def get_config():
    config = ConfigDict()
    config.bench = "data"
    # A folder tree, path/train/<class>/*.jpg. Empty: 500x375 crops of scikit-learn's photographs.
    config.path = ""
    config.n = 256  # images
    config.batch_size = 64
    config.batches = 8  # timed in each round, after a warm-up
    config.rounds = 5  # in each of which every loader has its turn
    config.workers = (0, 2)
    config.transform = robust_imagenet.get_config().data  # the training transform
    config.seed = 0
    return config.lock()
