r"""The network of a run as a file that torch, torchvision and MadryLab/robustness load.

python -m rrjax.convert --config=configs/export_torch.py --config.run=runs/robust_rin \
    --workdir=exports
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.convert = "export"
    config.run = "runs/quickstart/robust"
    config.checkpoint = "latest"  # or "best"
    config.file = "network.pth"  # .pth, .pt or .safetensors, in the workdir
    # "torchvision": the network's own names; "robustness": as its make_and_restore_model reads.
    config.layout = "torchvision"
    return config.lock()
