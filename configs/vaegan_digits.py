"""A VAE-GAN of scikit-learn's digits, as a manifold: a minute or two on two cores.

python -m rrjax.train --config=configs/vaegan_digits.py --workdir=runs/vaegan_digits

The paper's own, of MNIST, Fashion-MNIST and CIFAR-10, are those of configs/vaegan.py.
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = defaults.run()
    config.epochs = 60
    config.batch_size = 64
    config.save_every = 100
    config.eval_every = 10

    config.model.name = "vaegan"
    config.model.variant = "cifar"  # its networks; "mnist" or "cifar"
    config.model.width = 16  # channels of the encoder's first convolution; the paper's: 64
    config.model.latent = 10
    config.model.classes = 10
    config.model.mean = (0.5,)  # one a channel; the networks take pixels in [-1,1]
    config.model.std = (0.5,)

    config.data.name = "digits"
    config.data.image_size = 16
    config.data.resize = 16
    config.data.crop_scale = ()
    config.data.flip = False
    config.data.jitter = 0.0
    config.data.lighting = 0.0

    config.loss = ConfigDict()
    config.loss.reconstruction = 0.005  # its weight beside the discriminator, for the generator
    config.loss.discriminator_steps = 1  # of each step

    config.optimizer = ConfigDict()  # Adam, one a network
    config.optimizer.learning_rate = 5e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.9
    return config.lock()
