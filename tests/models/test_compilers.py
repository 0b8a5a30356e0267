"""The accelerators' own compilers take training, evaluation and inversion, without an accelerator.

The extras `aot-cuda` and `aot-tpu` of setup.cfg install them.
"""

import os
from functools import cache
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rrjax import models
from rrjax.core import vmapped
from rrjax.runs import defaults
from rrjax.train.tasks import classifier

pytestmark = pytest.mark.slow  # where a compiler is installed

# What XLA must know of a chip that is not there: here of an H100, by NVIDIA's data sheet.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84978434048
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
COMPILERS = {"cuda": ("jax_cuda12_plugin", "aot-cuda"), "tpu": ("libtpu", "aot-tpu")}
# Kernels are chosen by timing them on the chip, unless this says not to.
OPTIONS = {"cuda": {"xla_gpu_autotune_level": 0}, "tpu": {}}


@pytest.fixture(scope="module", params=["cuda", "tpu"])
def platform(request):
    module, extra = COMPILERS[request.param]
    if find_spec(module) is None:
        pytest.skip(f"no compiler for {request.param}: pip install rrjax[{extra}]")
    return request.param


@cache
def devices(platform):
    """Return one device of a platform to compile for."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no machine of a TPU's to ask
    if platform == "tpu":
        return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[:1]
    return topologies.get_topology_desc(
        platform="cuda", topology_name="", target_config=H100, topology="1x1x1"
    ).devices


def config():
    c = defaults.get_config()
    c.dtype = "bfloat16"
    c.model.update(name="resnet8", width=4, classes=5)
    c.data.image_size = 32
    c.batch_size = 4
    return c


def compiled(platform, program, *arguments, specs=None):
    """Compile a program, split over devices where `specs` says so, and return its text."""
    mesh = Mesh(np.array(devices(platform)), ("batch",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    arguments = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), arguments
    )
    if specs:
        program = jax.shard_map(
            program, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
        )
    return jax.jit(program).lower(*arguments).compile(OPTIONS[platform]).as_text()


def batch(**more):
    shapes = {"image": ((4, 32, 32, 3), jnp.uint8), "label": ((4,), jnp.int32), **more}
    return {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}


SPECS = (PartitionSpec(), PartitionSpec("batch"))


def test_a_training_step(platform):
    task = classifier.create(config(), 10)
    colors = {"jitter": ((4, 3), jnp.float32), "order": ((4, 3), jnp.int32)}
    state = jax.eval_shape(task.init)
    assert "while" in compiled(platform, task.train_step, state, batch(**colors), specs=SPECS)


def test_an_evaluation(platform):
    task = classifier.create(config(), 10)
    more = {"index": ((4,), jnp.int32), "mask": ((4,), jnp.float32)}
    state = jax.eval_shape(task.init)
    assert "while" in compiled(platform, task.eval_step, state, batch(**more), specs=SPECS)


def test_an_inversion(platform):
    model = models.create(config().model)
    apply = models.frozen(model, models.init(model, jax.random.key(0), (32, 32, 3)))

    def invert(variables, starts, targets):
        network = jax.tree_util.Partial(apply.func, *variables)
        return vmapped.invert_images(
            network, network, starts, targets, eps=1000.0, step_size=1.0, steps=100
        )

    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    assert "while" in compiled(platform, invert, apply.args, images, images)
