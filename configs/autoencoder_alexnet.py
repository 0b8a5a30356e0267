"""The paper's decoder of AlexNet's conv5 on ImageNet, with its losses, weights and optimizers.

python -m rrjax.train --config=configs/autoencoder_alexnet.py --config.data.path=DATA \
  --config.model.encoder=runs/robust_alexnet --workdir=runs/robust_alexnet_decoder

Rojas-Gomez et al. (2022), arXiv:2106.06927, as their code has them: inversion by pixels, features
and a discriminator. Its anomaly detection: --config.loss.pixel=2e-3 and one class as data.groups;
its denoising: --config.loss.norm=l2 --config.loss.pixel=2e-3 --config.noise=50
--config.model.decoder=wavelet. The encoder: configs/robust_alexnet.py. Not trained here.
"""

from rrjax.configs import autoencoder_digits


def get_config():
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

    config.optimizer.learning_rate = 3e-4
    config.optimizer.discriminator_rate = 1.2e-3
    config.optimizer.schedule = "step"
    config.optimizer.drops = (30, 60)
    return config
