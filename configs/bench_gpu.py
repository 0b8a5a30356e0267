"""Training steps, evaluation and inversion on one accelerator, in bfloat16, beside PyTorch.

python -m rrjax.bench --config=configs/bench_gpu.py --workdir=runs/bench_gpu
"""

from rrjax.configs import bench_cpu


def get_config():
    config = bench_cpu.get_config().unlock()
    config.name = "speed_gpu"
    config.cases = (
        ("adversarial", "resnet50", "imagenet", 224, 256),
        ("standard", "resnet50", "imagenet", 224, 256),
        ("evaluation", "resnet50", "imagenet", 224, 256),
        ("inversion", "resnet50", "imagenet", 224, 10),
        ("inversion", "resnet50", "imagenet", 224, 256),
        ("adversarial", "resnet18", "cifar", 32, 256),
        ("adversarial", "vgg16_bn", "imagenet", 224, 128),
    )
    config.training.dtype = "bfloat16"
    config.inversion_steps = 100
    config.warmup = 3
    return config.lock()
