"""Adversarially trained ResNet-8 on scikit-learn's digits: about a minute on two cores.

python -m rrjax.train --config=configs/robust_digits.py --workdir=runs/robust_digits
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.get_config()
    config.epochs = 20
    config.batch_size = 64
    config.save_every = 100
    config.eval_every = 5

    config.model.name = "resnet8"
    config.model.variant = "cifar"
    config.model.width = 24
    config.model.classes = 10
    config.model.mean = (0.3098,)  # of the training digits at 16 pixels
    config.model.std = (0.3476,)

    config.data.name = "digits"
    config.data.image_size = 16
    config.data.resize = 16
    config.data.crop_scale = ()
    config.data.flip = False
    config.data.jitter = 0.0
    config.data.lighting = 0.0

    config.optimizer.schedule = "cosine"

    config.attack.eps = 2.0
    config.attack.step_size = 0.5
    return config
