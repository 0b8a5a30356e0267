"""The paper's decoders of AlexNet on ImageNet, with its losses, weights and optimizers.

python -m rrjax.train --config=configs/autoencoder_alexnet.py --config.data.path=DATA \
  --config.model.encoder=runs/robust_alexnet --workdir=runs/robust_alexnet_decoder

Rojas-Gomez et al. (2021), arXiv:2106.06927, as their code has them: inversion of conv5 by pixels,
features and a discriminator. Other trainings of theirs by a word behind a colon, as
configs/autoencoder_alexnet.py:denoising: denoising; anomaly, of one class of CIFAR-10, which
--config.data.groups says; conv2 and conv1, which style transfer needs beside conv5. The encoder:
configs/robust_alexnet.py. None was trained here.
"""

from rrjax.configs import autoencoder_digits
from rrjax.runs import defaults

SETTINGS = ("inversion", "denoising", "anomaly", "conv2", "conv1")


def get_config(settings="inversion"):
    defaults.check_settings("autoencoder_alexnet", settings, SETTINGS)
    config = autoencoder_digits.get_config()
    config.epochs = 90
    config.batch_size = 128
    config.save_every = 1000
    config.eval_every = 5

    config.model.encoder = "runs/robust_alexnet"
    config.model.stage = "conv5"
    config.model.decoder = "conv5_transposed"
    config.model.encoder_norm = "scale"
    config.model.classes = 1000
    config.model.mean = (0.5, 0.5, 0.5)

    config.data.name = "imagenet2012"
    config.data.image_size = 224
    config.data.resize = 224  # of the shorter side, and a center crop; theirs squeezes both sides
    config.data.workers = -1  # on the cores there are to spare

    config.loss.norm = "l1"
    config.loss.pixel = 2e-6
    config.loss.feature = 0.01
    config.loss.adversarial = 100.0
    config.loss.discriminator_stride = 4

    config.optimizer.learning_rate = 3e-4
    config.optimizer.discriminator_rate = 1.2e-3
    config.optimizer.schedule = "step"
    config.optimizer.drops = (30, 60)
    if settings == "denoising":
        config.noise = 50.0
        config.model.decoder = "wavelet"
        config.loss.update(norm="l2", pixel=2e-3)
    if settings == "anomaly":
        config.loss.pixel = 2e-3
        # Their script of one class leaves the decoder's betas at Adam's own.
        config.optimizer.update(b1=0.9, b2=0.999)
        config.data.name = "cifar10"  # enlarged to 224 pixels
        config.data.update(groups=(("airplane",),), group_names=("airplane",))
        config.model.classes = 1
    if settings in ("conv2", "conv1"):
        config.model.update(stage=settings, decoder=settings)
        config.loss.stage = "conv5"  # their comparator's and discriminator's, whatever is inverted
    return config
