"""Small models of transformers with random weights, and ours of the same sizes."""

import pytest

from genjax.models import GPT, Translation

SIZES = {"layers": 2, "heads": 2, "width": 16, "hidden": 24, "vocabulary": 21, "vocabulary_multiple": 8, "context": 12}


def disturbed(peer):
    """In evaluation mode, with biases and scales of their own: a wrong mapping must show."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if "embed_positions" not in name:  # sines, which are not learned
                parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in peer.named_buffers():
            if name == "final_logits_bias":
                buffer.add_(torch.randn_like(buffer))
        for name, parameter in peer.named_parameters():
            if name.endswith("encoder_attn.k_proj.bias"):
                parameter.zero_()  # it changes nothing, and ours has none
    return peer.eval()


def gpt2(**fields):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 21, "n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, **fields))


def llama(**fields):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=21,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        max_position_embeddings=12,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        bos_token_id=0,
        eos_token_id=0,
        **fields,
    )
    return transformers.LlamaForCausalLM(config)


def t5(tied, head=False):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.T5Config(
        vocab_size=21,
        d_model=16,
        d_kv=6,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="relu" if tied else "gated-gelu",
        tie_word_embeddings=tied,
        decoder_start_token_id=0,
    )
    config.scale_decoder_outputs = tied  # what T5 1.0 does; by default newer versions of transformers may not
    peer = transformers.T5ForConditionalGeneration(config)
    if head:  # as Google's weights of 1.1 have one; transformers makes new models without
        peer.lm_head.weight = torch.nn.Parameter(torch.randn(21, 16))
    return peer


def marian():
    transformers = pytest.importorskip("transformers")
    halves = {"layers": 2, "attention_heads": 2, "ffn_dim": 24}
    config = transformers.MarianConfig(
        vocab_size=21,
        d_model=16,
        **{f"{half}_{name}": size for half in ("encoder", "decoder") for name, size in halves.items()},
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=12,
        pad_token_id=20,
        decoder_start_token_id=20,
        eos_token_id=1,
        forced_eos_token_id=None,
    )
    return transformers.MarianMTModel(config)


ROPE = {"heads": 4, "kv_heads": 2, "positions": "rope", "rope_base": 500.0}
LLAMA = GPT(**SIZES | ROPE, norm="rms", mlp="swiglu", tied=False, bias=False)
RELATIVE = {"positions": "relative", "norm": "rms", "bias": False, "score_scale": 1.0, "eps": 1e-6, "head_size": 6}
WAVES = {"positions": "sinusoidal", "embedding_scale": 4.0, "order": "post", "embedding_norm": False}

DECODERS = {  # theirs, ours
    "gpt2": (gpt2, GPT(**SIZES)),
    "gpt2-untied": (lambda: gpt2(tie_word_embeddings=False), GPT(**SIZES, tied=False)),
    "llama": (llama, LLAMA),
}
TRANSLATORS = {
    "t5": (lambda: t5(True), Translation(**SIZES, **RELATIVE, logit_scale=0.25, start=0, end=1)),
    "t5-1.1": (lambda: t5(False), Translation(**SIZES, **RELATIVE, mlp="geglu", start=0, end=1)),
    "t5-1.1-head": (
        lambda: t5(False, head=True),
        Translation(**SIZES, **RELATIVE, mlp="geglu", tied=False, start=0, end=1),
    ),
    "marian": (marian, Translation(**SIZES, **WAVES, mlp="silu", logit_bias=True, start=20, end=1)),
}
