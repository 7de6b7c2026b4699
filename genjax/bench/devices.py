"""What the chips can do, by the makers' public figures.

Google Cloud's documentation, "TPU architecture" and the pages of TPU v4, v5e, v5p and v6e (cloud.google.com/tpu/docs):
dense bfloat16 peak, HBM and the interconnect (ICI) of one chip. The pages quote the interconnect of both directions
together (v5e 400, v5p 1200, v6e 800 GB/s; v4 its older form, 2400 Gbit/s one way); kept here is one direction, all
links of a chip together.
"""

from typing import NamedTuple

GIB = 2**30


class Device(NamedTuple):
    """Of one chip: FLOP/s in bfloat16, bytes, bytes/s of memory, bytes/s it can send to its neighbours."""

    flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    ici_bandwidth: float


TPUS = {
    "v4": Device(275e12, 32 * GIB, 1228e9, 300e9),
    "v5e": Device(197e12, 16 * GIB, 819e9, 200e9),
    "v5p": Device(459e12, 95 * GIB, 2765e9, 600e9),
    "v6e": Device(918e12, 32 * GIB, 1638e9, 400e9),
}

KINDS = {  # JAX's Device.device_kind
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
}


def find(device_kind: str) -> Device | None:
    """The device of JAX's name for it; None where no figures are kept."""
    return TPUS.get(KINDS.get(device_kind, ""))
