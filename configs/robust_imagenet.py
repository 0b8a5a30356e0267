"""Adversarially trained ResNet-50 on ImageNet: Engstrom et al. (2019), Tables 3 and 5.

python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars=TARS --workdir=DATA
python -m rrjax.train --config=configs/robust_imagenet.py --config.data.path=DATA \
  --workdir=runs/robust_imagenet

The paper's: accuracy 57.90 %; 35.16 % under PGD-20 at eps 3. Not trained here.
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.get_config()
    config.data.name = "imagenet2012"
    config.data.workers = -1  # on the cores there are to spare
    return config
