"""DALL-E on random captions and the ids of pictures, against transformers' GPT-2 with rows and columns as positions.

Training, and pictures from captions: ids one after another, then the decoder of a VQ-VAE.
"""

import numpy as np
from peers import gpt, sides, vqvae
from peers.pairs import Pair

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import DALLE, VQVAE, SpatialAutoencoder, VectorQuantizer
from genjax.models.multimodal import DALLEOptions
from genjax.spec import DataSpec, Image, Tokens

LAYERS, HEADS, WIDTH, BATCH = 4, 4, 256, 8
WORDS, TEXT, CODES, GRID = 1024, 32, 1024, 16
FIRST_STAGE = VQVAE(network=SpatialAutoencoder((8, 8), blocks=1), quantizer=VectorQuantizer(CODES, 8))  # at rest


def pair(precision: str = "float32") -> Pair:
    """The frozen first stage has no part in a step: the data holds ids."""
    codes = FIRST_STAGE.resolve(DataSpec({"image": Image(2 * GRID, 2 * GRID, 3)})).code
    spec = DataSpec({"tokens": codes, "caption": Tokens((TEXT,), WORDS, ragged=True, end=WORDS - 1)})
    model = DALLE(first_stage=FIRST_STAGE, layers=LAYERS, heads=HEADS, width=WIDTH, text_dropout=0.0)
    experiment = Experiment(
        model=model,
        data=Data(batch_size=BATCH),
        optim=Optim(name="adamw", learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0),
        train=Train(precision=precision),
    )
    ours, theirs = sides.training(experiment, spec), their_side(model.resolve(spec), spec, precision)
    shapes = f"{LAYERS} layers, {HEADS} heads, width {WIDTH}, {TEXT} + {GRID}x{GRID} ids, batch {BATCH}, {precision}"
    return Pair("dalle", ours, theirs, BATCH * model.resolve(spec).context, "tokens", shapes, precision)


def pictures(precision: str = "float32") -> Pair:
    """Greedy on random weights, from random captions."""
    import torch

    stage = VQVAE(network=SpatialAutoencoder(vqvae.WIDTHS, 1), quantizer=VectorQuantizer(CODES, vqvae.LATENT))
    spec = DataSpec(
        {"image": Image(2 * GRID, 2 * GRID, 3), "caption": Tokens((TEXT,), WORDS, ragged=True, end=WORDS - 1)}
    )
    model = DALLE(first_stage=stage, layers=LAYERS, heads=HEADS, width=WIDTH, text_dropout=0.0)
    batch = spec.random_batch(BATCH)
    conditions = {name: batch[name] for name in ("caption", "caption_length", "index")}
    experiment = Experiment(model=model, data=Data(batch_size=BATCH), train=Train(precision=precision))
    ours = sides.sampling(experiment, spec, conditions, DALLEOptions(temperature=0.0), ("decoder",))

    model = model.resolve(spec)
    device, s = sides.torch_device(), model.sequence
    peer = their_gpt(model).to(getattr(torch, precision)).eval()
    decoder = vqvae.network(CODES).to(device, getattr(torch, precision)).eval()

    @torch.compile
    def decode(codes):
        latents = decoder.quantize.get_codebook_entry(codes, (*codes.shape, vqvae.LATENT))
        return decoder.decoder(decoder.post_quant_conv(latents))

    texts = torch.from_numpy(np.array(s.texts(batch["caption"], batch["caption_length"]))).long().to(device)
    write = gpt.writer(peer, texts, GRID**2)

    @torch.no_grad()
    def draw():
        ids = write()[:, -(GRID**2) :]
        decode((ids - s.first_code).clamp(0, CODES - 1).unflatten(1, (GRID, GRID)))

    theirs = sides.torch_training("transformers, static cache, and diffusers, torch.compile", [peer], draw)
    shapes = f"{LAYERS} layers, {HEADS} heads, width {WIDTH}, {TEXT} + {GRID}x{GRID} ids, {BATCH} pictures, {precision}"
    return Pair("dalle_pictures", ours, theirs, BATCH, "images", shapes, precision)


def their_gpt(model: DALLE):
    """GPT-2 of the same vocabulary, with the text's positions and then the sums of rows and columns."""
    import torch

    class Places(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.before = torch.nn.Parameter(0.02 * torch.randn(1 + TEXT, WIDTH))
            self.rows, self.columns = (torch.nn.Parameter(0.02 * torch.randn(GRID, WIDTH)) for _ in range(2))

        def forward(self, ids):
            cells = (self.rows[:, None] + self.columns).flatten(0, 1)
            return torch.cat([self.before, cells])[ids]

    peer = gpt.gpt2(model.padded_vocabulary, LAYERS, HEADS, WIDTH, model.sequence.length)
    peer.transformer.wpe = Places()
    return peer.to(sides.torch_device())


def their_side(model: DALLE, spec: DataSpec, precision: str):
    """GPT-2 on the same sequences; text and picture have a loss each, over their own ids."""
    import torch
    from torch.nn import functional as F

    device, s = sides.torch_device(), model.sequence
    peer = their_gpt(model)
    batch = spec.random_batch(BATCH)
    texts, codes = np.array(s.texts(batch["caption"], batch["caption_length"])), batch["tokens"]
    ids = torch.from_numpy(np.concatenate([texts, s.first_code + codes], 1)).long().to(device)
    counts = np.arange(TEXT) < batch["caption_length"][:, None]
    words = torch.from_numpy(np.where(counts, texts[:, 1:], -100)).long().to(device)
    codes = torch.from_numpy(codes).long().to(device)

    @torch.compile
    def loss(ids, words, codes):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = peer(input_ids=ids[:, :-1]).logits
        text, image = logits[:, :TEXT, :WORDS].float(), logits[:, TEXT:, s.first_code : s.vocabulary].float()
        text, image = (F.cross_entropy(x.flatten(0, 1), y.flatten()) for x, y in ((text, words), (image, codes)))
        return model.text_weight * text + (1 - model.text_weight) * image

    step = gpt.adamw_step(peer, lambda: loss(ids, words, codes))
    return sides.torch_training("transformers GPT-2, SDPA, torch.compile", [peer], step)
