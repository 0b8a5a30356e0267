"""New images from features: between two images, and drawn for a class.

python -m rrjax.study --config=configs/generation.py --workdir=runs/quickstart

after the trainings of configs/reconstruction.py.
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("generation")
    # Autoencoders' run folders.
    config.standard = "runs/quickstart/standard_decoder"
    config.robust = "runs/quickstart/robust_decoder"
    config.n = 16  # pairs of test images
    config.points = 10  # of the paths that are shown
    config.gallery = 256  # real test images
    config.step_size = 0.1
    config.steps = 200
    config.train_n = 0  # training images to fit the Gaussians to; 0: all
    config.samples = 20  # of each class
    return config.lock()
