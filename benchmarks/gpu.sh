#!/bin/sh
# Measures one GPU in under eight minutes, from a checkout, without a network and without installing anything:
#
#     benchmarks/gpu.sh [--tiny] [--parts NAME ...] [--out DIR] [--seconds 470]
#
# It needs Python with jax (CUDA), flax, optax and orbax; the pairs also need PyTorch. The record goes to $OUT, or to
# benchmarks/records.
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$(dirname "$here"):$here${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" "$here/gpu.py" "$@"
