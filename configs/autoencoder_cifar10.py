"""A decoder that inverts a small CIFAR-10 network, those that come with rrjax among them.

python -m rrjax.train --config=configs/autoencoder_cifar10.py --config.data.path=DATA \
  --config.model.encoder=cifar10_robust_l2_eps05 --workdir=runs/cifar10_robust_decoder

DATA is a tree DATA/{train,test}/<class>/*.jpg. Give it a standard network and networks of rising
eps, each its own workdir. configs/autoencoder_cifar10.py:gan has the paper's losses, with its
weights, for an accelerator.
"""

from rrjax.configs import autoencoder_digits
from rrjax.runs import defaults

SETTINGS = ("pixel", "gan")


def get_config(losses="pixel"):
    defaults.check_settings("autoencoder_cifar10", losses, SETTINGS)
    config = autoencoder_digits.get_config()
    config.epochs = 3
    config.batch_size = 128
    config.log_every = 50
    config.save_every = 1000
    config.eval_every = 3

    config.model.encoder = "cifar10_robust_l2_eps05"
    config.model.stage = "layer4"  # 4x4 of 128 channels: two thirds of the image's numbers
    config.model.mean = (0.5, 0.5, 0.5)

    config.data.name = "folder"
    config.data.image_size = 32
    config.data.resize = 32
    config.data.flip = True

    config.loss.discriminator_stride = 1
    config.optimizer.learning_rate = 1e-3
    if losses == "gan":
        config.epochs = 90
        config.eval_every = 5
        config.loss.update(norm="l1", pixel=2e-6, feature=0.01, adversarial=100.0)
        config.optimizer.update(learning_rate=3e-4, discriminator_rate=1.2e-3)
        config.optimizer.update(schedule="step", drops=(30, 60))
    return config
