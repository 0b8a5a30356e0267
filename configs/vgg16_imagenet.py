"""Standard VGG16 on ImageNet, as torchvision trains its own, which the paper used.

python -m rrjax.train --config=configs/vgg16_imagenet.py --config.data.path=DATA \
  --workdir=runs/vgg16_imagenet

Settings: torchvision's reference script for its VGGs (as configs/standard_imagenet.py, with a
learning rate of 0.01). The paper's (Table 5): accuracy 73.36 %, which is torchvision's vgg16_bn and
not its vgg16; 0.35 % under PGD-20 at eps 3. Not trained here.
"""

from rrjax.configs import standard_imagenet


def get_config():
    config = standard_imagenet.get_config()
    config.model.name = "vgg16_bn"
    config.optimizer.learning_rate = 0.01
    return config
