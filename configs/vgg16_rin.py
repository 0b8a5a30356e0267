"""Standard VGG16 on Restricted ImageNet: Engstrom et al. (2019), Table 4.

python -m rrjax.train --config=configs/vgg16_rin.py --config.data.path=DATA \
  --workdir=runs/vgg16_rin

The paper's: accuracy 98.22 %; 2.17 % under PGD-20 at eps 3. Not trained here. The network is the
one with batch normalization: the paper's ImageNet accuracy is that of torchvision's vgg16_bn, and
its learning rate of 0.1 is too large for the plain one (--config.model.name=vgg16 wants
--config.optimizer.learning_rate=0.01). DATA is made as in configs/robust_rin.py.
"""

from rrjax.configs import standard_rin


def get_config():
    config = standard_rin.get_config()
    config.model.name = "vgg16_bn"
    return config
