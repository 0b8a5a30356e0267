"""Standard ResNet-50 on Restricted ImageNet: Engstrom et al. (2019), Tables 3 and 4.

python -m rrjax.train --config=configs/standard_rin.py --config.data.path=DATA \
  --workdir=runs/standard_rin

The paper's: accuracy 98.01 %; 4.74 % under PGD-20 at eps 3. Not trained here. DATA is made as in
configs/robust_rin.py.
"""

from rrjax.configs import robust_rin


def get_config():
    config = robust_rin.get_config()
    config.attack.eps = 0.0
    return config
