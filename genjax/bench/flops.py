"""Analytic FLOPs: of a model, for MFU; and of the attention kernels, which XLA does not look into."""

from genjax.models.base import Model
from genjax.models.gpt import GPT
from genjax.nn.attention import LANES

SPLASH_BLOCK = 512  # the largest of the kernel's blocks; those above the diagonal are skipped


def model_flops(model: Model, examples: int) -> float | None:
    """FLOPs that a train step on `examples` needs by definition, recomputation left out; None where unknown.

    GPT: 6 a weight and token, and 12 L T D a token for attention, not halved for the causal mask (Chowdhery et al.
    2022, PaLM, appendix B). The weights are those of the matrix products: look-ups cost nothing, padding of the
    vocabulary does not count.
    """
    if not isinstance(model, GPT):
        return None
    c = model.config()
    size = c.width // c.heads
    attention = c.width * (c.heads + 2 * c.kv_heads) * size + c.heads * size * c.width
    mlp = (3 if c.mlp == "swiglu" else 2) * c.width * c.hidden
    weights = c.layers * (attention + mlp) + c.width * c.vocabulary
    return examples * c.context * (6.0 * weights + 12.0 * c.layers * c.context * c.width)


def kernel_flops(model: Model, examples: int) -> float:
    """FLOPs that Pallas's splash attention executes in a train step; 0 where it is not used.

    2 matrix products forward, again 2 where the layer is recomputed, 3 for the queries' gradient and 4 for that of
    keys and values, each over the blocks on and below the diagonal.
    """
    if not isinstance(model, GPT) or model.attention != "splash" or model.context % LANES:
        return 0.0
    c, t = model.config(), model.context
    block = next(b for b in (SPLASH_BLOCK, 256, LANES) if t % b == 0)
    products = 9 if c.remat == "none" else 11
    return examples * c.layers * products * 2.0 * (t * (t + block) / 2) * c.width
