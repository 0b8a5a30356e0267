"""Decoders of ResNets and VGG16s on ImageNet, with the paper's losses and optimizers.

python -m rrjax.train --config=configs/autoencoder_imagenet.py:resnet50 --config.data.path=DATA \
  --workdir=runs/resnet50_decoder

Behind the colon: resnet18, resnet34, resnet50, vgg16 or vgg16_bn. Rojas-Gomez et al. (2021) invert
such networks too, but their code has AlexNet alone: the losses and optimizers are those of its
script (configs/autoencoder_alexnet.py), and the rest is chosen here. What is inverted is the last
map before the network pools it, 7x7; the decoder mirrors it; the encoder sees pixels standardized,
as it was trained. Other encoders: --config.model.encoder, a run folder or a name of
docs/published.md. None was trained here.
"""

from rrjax.configs import autoencoder_alexnet
from rrjax.runs import defaults

# Robust encoders, l2 of eps 3: the published, or folders of configs/robust_imagenet.py with
# --config.model.name=resnet34 or vgg16. --config.attack.eps=0 trains their standard twins.
ENCODERS = {
    "resnet18": "resnet18_l2_eps3",
    "resnet34": "runs/robust_resnet34",
    "resnet50": "resnet50_l2_eps3",
    "vgg16": "runs/robust_vgg16",
    "vgg16_bn": "vgg16_bn_l2_eps3",
}
SETTINGS = tuple(ENCODERS)


def get_config(network="resnet50"):
    defaults.check_settings("autoencoder_imagenet", network, SETTINGS)
    config = autoencoder_alexnet.get_config()
    config.model.encoder = ENCODERS[network]
    config.model.stage = "block5" if network.startswith("vgg") else "layer4"
    config.model.decoder = "mirror"
    config.model.encoder_norm = "standardize"
    return config
