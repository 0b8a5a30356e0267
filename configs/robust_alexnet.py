"""Adversarially trained AlexNet on ImageNet: the encoder of Rojas-Gomez et al. (2021).

python -m rrjax.train --config=configs/robust_alexnet.py --config.data.path=DATA \
  --workdir=runs/robust_alexnet

Settings: those of their code's script, l2 attacks of eps 3 in 7 steps of 0.5; SGD at 0.1, which
falls tenfold at epochs 30 and 60 of 90, weight decay 1e-4, batch 128. arXiv:2106.06927; its decoder
is configs/autoencoder_alexnet.py; --config.attack.eps=0 is its standard twin. No accuracy of theirs
was found. Not trained here. DATA is made as in configs/robust_imagenet.py.
"""

from rrjax.configs import robust_imagenet


def get_config():
    config = robust_imagenet.get_config()
    config.epochs = 90
    config.batch_size = 128
    config.model.name = "alexnet"
    config.optimizer.weight_decay = 1e-4
    config.optimizer.drops = (30, 60)
    return config
