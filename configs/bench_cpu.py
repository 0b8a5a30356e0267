"""Training steps, evaluation and inversion on two CPU cores, beside PyTorch where it is installed.

python -m rrjax.bench --config=configs/bench_cpu.py --workdir=runs/bench_cpu
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = ConfigDict()
    config.bench = "speed"
    config.name = "speed_cpu"  # of its section in report.html
    # Each case is kind, model.name, model.variant, image_size and number of images; a kind is
    # "adversarial" or "standard" (a training step), "evaluation" or "inversion".
    config.cases = (
        ("adversarial", "resnet50", "imagenet", 224, 8),
        ("adversarial", "resnet18", "cifar", 32, 64),
        ("standard", "resnet50", "imagenet", 224, 8),
        ("standard", "resnet18", "cifar", 32, 64),
        ("evaluation", "resnet18", "cifar", 32, 32),
        ("inversion", "resnet18", "cifar", 32, 10),
    )
    config.training = defaults.get_config()  # of every case; its `dtype` counts too
    config.evaluation_steps = 20
    config.inversion_steps = 20
    config.compiled_steps = (1, 7, 100)
    config.peers = True  # PyTorch programs too, where robustness is installed
    config.warmup = 1
    config.rounds = 5
    config.seed = 0
    return config.lock()
