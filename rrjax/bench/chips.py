"""Accelerators that programs are compiled for here: their makers' figures, and their compilers.

FLOP/s are of dense products; makers print those of sparse ones, twice as many, for a GPU.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from rrjax import BadInput
from rrjax.cli.programs import cache_setting

NODE = 8  # the devices of each topology


@dataclass(frozen=True)
class Chip:
    """An accelerator.

    name: as its maker writes it. memory: its size in bytes. bandwidth: of the memory, in bytes/s.
    flops: dtype -> FLOP/s of products, as XLA makes them by default: of float32 in TF32 on a GPU,
    in bfloat16 on a TPU. topology: the options of jax's `get_topology_desc` for a node.
    """

    name: str
    platform: str
    memory: float
    bandwidth: float
    flops: Mapping[str, float]
    topology: Mapping[str, str] = field(repr=False)


def _gpu(name: str, bandwidth: float, bfloat16: float, **description: float) -> Chip:
    """Describe a GPU; TF32 has half the FLOP/s of bfloat16.

    description: what differs between GPUs of what XLA knows of one (`GpuDeviceInfoProto`).
    """
    major = description.pop("major")
    fields = description | {"memory_bandwidth": int(bandwidth)}
    lines = "\n".join(f"  {key}: {value}" for key, value in fields.items())
    target = _TARGET.format(name=name, major=major, lines=lines)
    return Chip(
        name=name,
        platform="cuda",
        memory=description["device_memory_size"],
        bandwidth=bandwidth,
        flops={"bfloat16": bfloat16, "float32": bfloat16 / 2},
        topology={"topology_name": "", "topology": f"1x1x{NODE}", "target_config": target},
    )


_TARGET = """
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  cuda_compute_capability {{ major: {major} minor: 0 }}
{lines}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{name}"
"""


def _tpu(name: str, memory: int, bandwidth: float, bfloat16: float, node: str) -> Chip:
    """Describe a TPU; memory in GiB."""
    return Chip(
        name=name,
        platform="tpu",
        memory=memory * 2**30,
        bandwidth=bandwidth,
        flops={"bfloat16": bfloat16, "float32": bfloat16},
        topology={"topology_name": node},
    )


_HOPPER = {
    "major": 9,
    "core_count": 132,
    "fpus_per_core": 128,
    "clock_rate_ghz": 1.98,
    "shared_memory_per_core": 233_472,
    "shared_memory_per_block_optin": 232_448,
    "l2_cache_size": 52_428_800,
}

CHIPS = {
    # NVIDIA A100 Tensor Core GPU, data sheet, column A100 80GB SXM; sizes as the device reports.
    "a100": _gpu(
        "NVIDIA A100-SXM4-80GB",
        bandwidth=2.039e12,
        bfloat16=312e12,
        major=8,
        core_count=108,
        fpus_per_core=64,
        clock_rate_ghz=1.41,
        shared_memory_per_core=167_936,
        shared_memory_per_block_optin=166_912,
        l2_cache_size=41_943_040,
        device_memory_size=85_100_068_864,
    ),
    # NVIDIA H100 Tensor Core GPU, data sheet, column H100 SXM.
    "h100": _gpu(
        "NVIDIA H100 80GB HBM3",
        bandwidth=3.35e12,
        bfloat16=989.5e12,
        **_HOPPER,
        device_memory_size=84_942_979_072,
    ),
    # NVIDIA H200 Tensor Core GPU, data sheet, column H200 SXM.
    "h200": _gpu(
        "NVIDIA H200 141GB HBM3e",
        bandwidth=4.8e12,
        bfloat16=989.5e12,
        **_HOPPER,
        device_memory_size=151_397_597_184,
    ),
    # NVIDIA HGX platform, data sheet, column HGX B200, an eighth of it; bandwidth: DGX B200's.
    "b200": _gpu(
        "NVIDIA B200",
        bandwidth=8e12,
        bfloat16=2250e12,
        major=10,
        core_count=148,
        fpus_per_core=128,
        clock_rate_ghz=1.965,
        shared_memory_per_core=233_472,
        shared_memory_per_block_optin=232_448,
        l2_cache_size=132_644_864,
        device_memory_size=191_514_411_008,
    ),
    # Google Cloud, TPU documentation, the pages "TPU v4", "TPU v5e", "TPU v5p" and "TPU v6e".
    "v4": _tpu("TPU v4", 32, 1.2e12, 275e12, "v4:2x2x2"),
    "v5e": _tpu("TPU v5e", 16, 819e9, 197e12, "v5e:2x4"),
    "v5p": _tpu("TPU v5p", 95, 2.765e12, 459e12, "v5p:2x2x2"),
    "v6e": _tpu("TPU v6e", 32, 1.64e12, 918e12, "v6e:2x4"),
}

# What holds a platform's compiler: the distributions, and the extra that installs them.
_COMPILERS = {
    "cuda": (("jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12"), "aot-cuda"),
    "tpu": (("libtpu",), "aot-tpu"),
}


def check(names: tuple[str, ...]) -> None:
    """Check that chips are known, and their compilers installed.

    Raises:
      BadInput: for a chip that is not of CHIPS, and for a compiler that is not there.
    """
    unknown = [name for name in names if name not in CHIPS]
    if unknown:
        raise BadInput(f"--config.chips={unknown}: choose from {', '.join(CHIPS)}")
    for platform in {CHIPS[name].platform: None for name in names}:
        distributions, extra = _COMPILERS[platform]
        missing = [name for name in distributions if not _installed(name)]
        if missing:
            of_it = [name for name in names if CHIPS[name].platform == platform]
            raise BadInput(
                f"--config.chips={of_it}: their compiler is in {', '.join(missing)}, which is not "
                f"installed: pip install 'rrjax[{extra}]', or leave them out"
            )


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def usable(chip: Chip, gpu_memory_share: float) -> float:
    """Return the bytes that programs may take; of a GPU's, jax reserves a share."""
    return chip.memory * (gpu_memory_share if chip.platform == "cuda" else 1)


def mesh(chip: Chip, devices: int) -> Mesh:
    """Return some of the devices of a node of `chip`, along the axis "batch", to compile for."""
    # A TPU's library asks a server for the machine's TPU, and waits where there is no server.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    topology = topologies.get_topology_desc(platform=chip.platform, **chip.topology)
    return Mesh(np.array(topology.devices[:devices]), ("batch",))


def compiled(chip: Chip, lowered: jax.stages.Lowered) -> jax.stages.Compiled | None:
    """Compile for a chip; None if the program does not fit into its memory.

    Nothing is tuned: that needs the chip.
    """
    options: dict[str, bool | str] = {}
    if chip.platform == "cuda":
        options["xla_gpu_autotune_level"] = "0"
    try:
        # Off the disk: jax reads programs from there with their devices only.
        with cache_setting("jax_enable_compilation_cache", False):
            return lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
