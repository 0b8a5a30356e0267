"""Images per second of the training pipeline, by decoder and workers, beside other loaders.

python -m rrjax.bench --config=configs/bench_data.py --workdir=runs/bench_data
"""

from ml_collections import ConfigDict


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
    # ImageNet's training transform; what the fields mean stands in defaults.py, under data.
    config.transform = ConfigDict()
    config.transform.image_size = 224
    config.transform.resize = 256
    config.transform.crop_scale = (0.08, 1.0)
    config.transform.crop_padding = 0
    config.transform.flip = True
    config.transform.jitter = 0.1
    config.transform.lighting = 0.05
    config.transform.rotation = 0.0
    config.seed = 0
    return config.lock()
