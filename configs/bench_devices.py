"""Evaluation and inversion on one device and on all of them, such as two CPU devices of a thread.

XLA_FLAGS="--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false" \
  python -m rrjax.bench --config=configs/bench_devices.py --workdir=runs/bench_devices
"""

from ml_collections import ConfigDict

from rrjax.configs import small_cifar10


def get_config():
    config = ConfigDict()
    config.bench = "devices"
    config.model = small_cifar10.get_config().model.copy_and_resolve_references()
    config.image_size = 32
    config.n = 64  # images, all of them at a time
    config.steps = 20  # of the attack, and of the inversion; products and sums
    config.eps = 0.5  # of the attack, l2, in units of pixels in [0,1]
    config.rounds = 5
    config.seed = 0
    return config.lock()
