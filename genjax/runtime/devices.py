"""What the chips can do, by the makers' public figures.

TPUs: Google Cloud's documentation, "TPU architecture" and the pages of TPU v4, v5e, v5p and v6e
(cloud.google.com/tpu/docs): dense bfloat16 peak, HBM and the interconnect (ICI) of one chip. The pages quote the
interconnect of both directions together (v5e 400, v5p 1200, v6e 800 GB/s; v4 its older form, 2400 Gbit/s one way);
kept here is one direction, all links of a chip together.

GPUs: NVIDIA's data sheets of the A100, H100 and H200. Tensor-core bfloat16 without sparsity (the sheets of the last
two quote it with, twice as much), and NVLink in one direction (600 and 900 GB/s in both).
"""

from typing import NamedTuple

__all__ = ["Device", "find"]

GIB = 2**30


class Device(NamedTuple):
    """Of one chip: FLOP/s in bfloat16, bytes, bytes/s of memory, bytes/s it can send to its neighbours."""

    flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    ici_bandwidth: float


V5E = Device(197e12, 16 * GIB, 819e9, 200e9)
V5P = Device(459e12, 95 * GIB, 2765e9, 600e9)
V6E = Device(918e12, 32 * GIB, 1638e9, 400e9)
A100_40 = Device(312e12, 40 * GIB, 1555e9, 300e9)

KINDS = {  # JAX's Device.device_kind
    "TPU v4": Device(275e12, 32 * GIB, 1228e9, 300e9),
    "TPU v5 lite": V5E,
    "TPU v5e": V5E,
    "TPU v5": V5P,
    "TPU v5p": V5P,
    "TPU v6 lite": V6E,
    "TPU v6e": V6E,
    "NVIDIA A100-SXM4-40GB": A100_40,
    "NVIDIA A100-PCIE-40GB": A100_40,
    "NVIDIA A100-SXM4-80GB": Device(312e12, 80 * GIB, 2039e9, 300e9),
    "NVIDIA A100 80GB PCIe": Device(312e12, 80 * GIB, 1935e9, 300e9),
    "NVIDIA H100 80GB HBM3": Device(989e12, 80 * GIB, 3350e9, 450e9),
    "NVIDIA H100 PCIe": Device(756e12, 80 * GIB, 2000e9, 300e9),
    "NVIDIA H200": Device(989e12, 141 * 10**9, 4800e9, 450e9),
}


def find(device_kind: str) -> Device | None:
    """The device of JAX's name for it; None where no figures are kept."""
    return KINDS.get(device_kind)
