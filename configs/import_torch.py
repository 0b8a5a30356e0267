r"""A PyTorch checkpoint as a run folder that every command reads.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin

Behind the colon is the training config (configs/robust_rin.py) that says the architecture, the
classes and the data; every field of it can be set, as in --config.model.name=resnet18. The file is
one of MadryLab/robustness, robust-models-transfer, RobustBench, TRADES, fast_adversarial or
torchvision, or .safetensors; the weights may lie in it under any name and prefix. TRADES and the
WideResNets of RobustBench take pixels as they are: --config.model.mean="(0.,0.,0.)"
--config.model.std="(1.,1.,1.)". Of a PreActResNet-18 say whose it is, by --config.model.variant:
files of different functions have the same keys.
"""

import importlib


def get_config(training=""):
    if not training:
        raise ValueError("name the training config of the network behind a colon, as :robust_rin")
    config = importlib.import_module(f"rrjax.configs.{training}").get_config()
    if "optimizer" not in config:
        raise ValueError(f"configs/{training}.py is no training config: name one like robust_rin")
    with config.unlocked():
        config.convert = "import"
        config.file = ""
        # Which network, in a file of several: its name there or a part of it, as "ema".
        config.weights = ""
        # Parts that the file has and the network does not use, by the beginnings of their keys.
        config.aside = ()
    return config
