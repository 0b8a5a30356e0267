r"""A PyTorch checkpoint as a run folder that every command reads.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin

Behind the colon is the training config (configs/robust_rin.py) that says the architecture, the
classes and the data; every field of it can be set, as in --config.model.name=resnet18. The file is
one of MadryLab/robustness, robust-models-transfer, RobustBench or torchvision, or .safetensors.
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
    return config
