"""Autoencoders of ids: VQ-VAE (van den Oord et al. 2017), FSQ (Mentzer et al. 2023), dVAE (Ramesh et al. 2021).

They differ in their quantizer alone. Codes are grids of ids, for models that learn pictures as text. With the terms of
`Judged` it is VQGAN (Esser et al. 2021, arXiv:2012.09841).
"""

import dataclasses
import math
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError
from genjax.interop.vq_model import VQ_MODEL
from genjax.models.base import (
    Array,
    Batch,
    Layout,
    LossOutput,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.models.images import images_of
from genjax.models.vae.judged import Judged
from genjax.networks.autoencoder import AutoencoderConfig
from genjax.networks.spatial_autoencoder import SpatialAutoencoder
from genjax.nn.apply import init_networks
from genjax.nn.codebook import VectorQuantizer
from genjax.nn.quantize import Quantized, Quantizer
from genjax.registry import register
from genjax.spec import Codes, DataSpec, Field, Image, require

__all__ = ["VQVAE"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class VQVAE(Judged):
    """Entries "encoder", "decoder" and, where a codebook is learned by gradient, "quantizer"; the turn "reconstruct".

    The state "quantizer" holds a codebook that is learned by moving averages. Samples are reconstructions.
    """

    network: AutoencoderConfig = SpatialAutoencoder(widths=(32, 64), blocks=1)  # noqa: RUF009, frozen
    quantizer: Quantizer = VectorQuantizer()  # noqa: RUF009, frozen
    pixel_error: Literal["mse", "l1"] = "mse"  # squared (VQ-VAE), or absolute (the code of VQGAN)
    image_shape: tuple[int, int, int] | None = None  # None = the data's

    families: ClassVar = (VQ_MODEL,)

    @property
    def best(self) -> tuple[str, str]:
        """The distance that its pictures are judged by: squared errors prefer the blurred."""
        return ("perceptual" if self.perceptual else "mse", "min")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("reconstruct", trains=tuple(self.own_networks())), *self.judges_turns)

    def expects(self) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)} if self.image_shape else {}

    def resolve(self, spec: DataSpec) -> "VQVAE":
        shape = require(spec, "image", Image, "VQVAE").shape
        require_agreement(self, image_shape=shape)
        resolved = dataclasses.replace(self, image_shape=shape)
        if len(resolved.grid) != 2:
            network = type(self.network).__name__
            raise UserError(f"VQVAE needs a network whose codes keep the picture's layout, not {network}")
        resolved.check_judges(shape)
        return resolved

    @property
    def grid(self) -> tuple[int, ...]:
        """(h, w) of the codes, of a resolved model."""
        return self.network.latent_shape(self.image_shape, self.quantizer.features)[:-1]

    def networks(self) -> dict[str, nn.Module]:
        return {**self.own_networks(), **self.judges()}

    def own_networks(self) -> dict[str, nn.Module]:
        """Those that a reconstruction takes."""
        shape = self.image_shape or (1, 1, 1)
        networks = {
            "encoder": self.network.encoder(self.quantizer.features, dtype=self.dtype),
            "decoder": self.network.decoder(shape, dtype=self.dtype),
        }
        codebook = self.quantizer.module
        return networks if codebook is None else {**networks, "quantizer": codebook}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        key, state_key = jax.random.split(key)
        inputs = {
            "encoder": (jnp.zeros((1, *self.image_shape)),),
            "decoder": (jnp.zeros((1, *self.grid, self.quantizer.channels)),),
            "quantizer": (jnp.zeros((1,), jnp.int32),),
        }
        networks, state = self.own_networks(), self.quantizer.init_state(state_key)
        params, _ = init_networks(networks, {name: inputs[name] for name in networks}, key)
        judges, judges_state = self.init_judges(jax.random.fold_in(key, 1), self.image_shape)
        return params | judges, ({"quantizer": state} if state else {}) | judges_state

    # How it learns.

    def quantized(
        self, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array | int = 0, train: bool = False
    ) -> Quantized:
        """Of the batch's images."""
        z_BHWF = self.networks()["encoder"].apply({"params": params["encoder"]}, images_of(batch))
        own = params.get("quantizer", {}), state.get("quantizer", {})
        return self.quantizer.quantize(*own, z_BHWF.astype(jnp.float32), batch["index"], key, step=step, train=train)

    def pixels(self, params: Params, code_BHWD: Array) -> Array:
        """(B, H, W, C) float32, not clipped."""
        return self.networks()["decoder"].apply({"params": params["decoder"]}, code_BHWD).astype(jnp.float32)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Equation 3 of VQ-VAE, errors a mean over pixel values; the quantizer has terms of its own.

        With the terms of `Judged`: equations 4 to 7 of VQGAN.
        """
        require_turn(self, turn)
        image, q = images_of(batch), self.quantized(params, state, batch, key, step=step, train=train)
        made = self.pixels(params, q.code)
        if turn == "discriminate":
            return self.discriminate(params, state, image, made, train=train)

        def errors(made: Array) -> dict[str, Term]:
            error = jnp.square(made - image) if self.pixel_error == "mse" else jnp.abs(made - image)
            return {self.pixel_error: Term.mean(error)} | self.perceived(params, image, made)

        def redraw(decoder: Tree) -> Array:
            return self.pixels({"decoder": decoder}, jax.lax.stop_gradient(q.code))

        terms, metrics, sums = errors(made), {}, {"quantizer": q.sums}
        terms |= {name: Term.mean(value, scale=weight) for name, (value, weight) in q.terms.items()}
        if self.adversarial:
            more, metrics, gradients = self.deceive(params, state, made, errors, redraw, step=step, train=train)
            terms, sums = terms | more, sums | gradients
        return LossOutput(terms, metrics, state, sums=sums, rows=q.rows)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        state = self.weighed(state, sums)
        if "quantizer" not in sums:
            return params, state
        own = params.get("quantizer", {}), state.get("quantizer", {})
        learned, kept = self.quantizer.update(*own, sums["quantizer"], rows)
        return (
            {**params, "quantizer": learned} if learned else params,
            {**state, "quantizer": kept} if kept else state,
        )

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """The squared error a pixel value, and how often each code is taken: `finalize` makes two numbers of it."""
        q, valid_B = self.quantized(params, state, batch, key), valid_rows(batch)
        image, made = images_of(batch), jnp.clip(self.pixels(params, q.code), -1, 1)
        error_B = jnp.square(made - image).mean((1, 2, 3))
        weight_BHW = jnp.broadcast_to(valid_B[:, None, None], q.ids.shape)
        taken_K = jnp.zeros(self.quantizer.codes).at[q.ids].add(weight_BHW)
        metrics = {"mse": Term.mean(error_B, valid_B), "codes": Term(taken_K, weight_BHW.sum())}
        return metrics | self.perceived(params, image, made, valid_B)

    def finalize(self, metrics: dict) -> dict[str, float]:
        """Adds the peak signal-to-noise ratio in dB, the share of codes in use, and exp of their entropy."""
        metrics = dict(metrics)
        share_K = np.asarray(metrics.pop("codes"))
        used = share_K[share_K > 0]
        return metrics | {
            "mse_db": 10 * math.log10(4 / max(metrics["mse"], 1e-12)),
            "codebook_use": len(used) / len(share_K),
            "codebook_perplexity": float(np.exp(-np.sum(used * np.log(used)))),
        }

    # What it makes.

    def needs(self, options: SampleOptions) -> tuple[str, ...]:
        return ("image",)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def layout(self, options: SampleOptions) -> Layout:
        return Layout(beside=("given.image", "image"))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: SampleOptions
    ) -> dict[str, Array]:
        """Reconstructions of the images of `conditions`."""
        code = self.quantized(params, state, conditions, key).code
        return {"image": jnp.clip(self.pixels(params, code), -1, 1)}

    # A first stage.

    @property
    def code(self) -> Codes:
        """Ids (h w,), row after row of the grid."""
        image = Image(*self.image_shape)
        return Codes((math.prod(self.grid),), self.quantizer.codes, grid=self.grid, image=image)

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        """(B, h w) int32."""
        return self.quantized(params, state, batch, key).ids.reshape(len(batch["index"]), -1)

    def decode(self, params: Params, state: Tree, code: Array, batch: Batch) -> Array:
        """(B, H, W, C) in [-1, 1] of ids (B, h w)."""
        own = params.get("quantizer", {}), state.get("quantizer", {})
        code_BHWD = self.quantizer.look_up(*own, code.reshape(-1, *self.grid))
        return jnp.clip(self.pixels(params, code_BHWD), -1, 1)
