"""A decoder that inverts a network of Restricted ImageNet at 64 pixels.

python -m rrjax.train --config=configs/autoencoder_rin64.py --config.data.path=DATA \
  --config.model.encoder=rin64_robust_l2_eps1 --workdir=runs/rin64_decoder

DATA as in configs/rin64.py. configs/autoencoder_rin64.py:gan has the paper's losses, with its
weights, for an accelerator.
"""

from rrjax.configs import autoencoder_cifar10, rin64


def get_config(losses="pixel"):
    config = autoencoder_cifar10.get_config(losses)
    config.model.encoder = "rin64_robust_l2_eps1"
    config.model.stage = "layer4"  # 2x2 of 256 channels: a twelfth of the image's numbers
    encoded = rin64.get_config()
    config.model.classes = len(encoded.data.groups)
    config.data.groups = encoded.data.groups
    config.data.group_names = encoded.data.group_names
    config.data.image_size = 64
    config.data.resize = 64
    config.loss.discriminator_stride = 4
    return config
