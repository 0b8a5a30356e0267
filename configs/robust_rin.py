"""Adversarially trained ResNet-50 on Restricted ImageNet: Engstrom et al. (2019), Tables 3 and 4.

python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars=TARS --workdir=DATA
python -m rrjax.train --config=configs/robust_rin.py --config.data.path=DATA \
  --workdir=runs/robust_rin

The paper's: accuracy 92.39 %; 81.91 % under PGD-20 at eps 3. Not trained here. 58 % of the test
images are dogs: the classes are unbalanced, as the paper's.
"""

from rrjax.configs import robust_imagenet


def get_config():
    config = robust_imagenet.get_config()
    config.model.classes = 9
    config.model.mean = (0.4717, 0.4499, 0.3837)  # the reference's, of Restricted ImageNet
    config.model.std = (0.2600, 0.2516, 0.2575)
    config.data.name = "restricted_imagenet"
    config.optimizer.drops = (30, 60)
    return config
