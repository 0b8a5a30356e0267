"""Which claims of the first paper hold, of the networks that other studies have looked at?

python -m rrjax.study --config=configs/claims.py --workdir=runs/small

Networks of three seeds, each with its studies in a folder of its own:
--config.folders="('runs/seeds/0','runs/seeds/1','runs/seeds/2')"
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.study = "claims"
    config.folders = ()  # folders of studies, a seed each; (): the workdir alone
    config.eps = 2.0  # the robust network's radius of training; one of the radii of proximity
    return config.lock()
