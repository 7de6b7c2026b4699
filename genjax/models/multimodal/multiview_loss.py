"""The bounds of the VAE of several views, one a way to join its experts; see `Multiview`."""

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from genjax.models.base import Array, Batch, Params
from genjax.models.multimodal.experts import divergence, log_density, product, subsets
from genjax.models.multimodal.views import canvas
from genjax.nn import noise
from genjax.spec import Label, Tokens

if TYPE_CHECKING:
    from genjax.models.multimodal.multiview import Multiview

__all__ = ["BOUNDS", "scales"]

Loss = tuple[Array, dict[str, Array]]  # (B,) to be minimized, and values (B,) to be logged


def mvae(model: "Multiview", params: Params, batch: Batch, key: Array) -> Loss:
    """Minus the bounds of all views, of each alone, and of one subset that is drawn, each of its own views.

    Wu & Goodman 2018, section 2.2; subsets are drawn among those of two views or more but not all.
    """
    mean, log_var, there_MB = model.experts(params, batch, model.views)
    count = len(model.views)
    chosen_SMB = [jnp.ones_like(there_MB), *(jnp.zeros_like(there_MB).at[m].set(1) for m in range(count))]
    if count > 2:
        among_SM = jnp.asarray(subsets(count, range(2, count)))
        chance_B = noise.uniform(jax.random.fold_in(key, count + 1), batch["index"])
        chosen_SMB.append(among_SM[(chance_B * len(among_SM)).astype(int)].T)
    weight_SMB = jnp.stack(chosen_SMB) * there_MB
    mean_SBZ, log_var_SBZ = jax.vmap(lambda w_MB: product(mean, log_var, w_MB, prior=True))(weight_SMB)
    likelihood_SMB = _likelihoods(model, params, batch, _draws(model, key, batch, mean_SBZ, log_var_SBZ))
    kl_SB = divergence(mean_SBZ, log_var_SBZ)
    bound_SB = (scales(model)[:, None] * weight_SMB * likelihood_SMB).sum(1) - model.beta * kl_SB
    loss_B = -jnp.where(weight_SMB.sum(1) > 0, bound_SB, 0.0).sum(0)
    return loss_B, {"elbo": likelihood_SMB[0].sum(0) - kl_SB[0], "kl": kl_SB[0]}


def mmvae(model: "Multiview", params: Params, batch: Batch, key: Array) -> Loss:
    """Minus the mean, over the experts that a row has, of the bound with K draws of z from that expert.

    Shi et al. 2019, section 3: every weight is log p(z, views) - log q(z | views), q the mixture. With K > 1 the
    gradient is the doubly reparametrized one (Tucker et al. 2019): none through q's parameters, and that of z weighted
    by the square of the normalized weight.
    """
    mean, log_var, there_MB = model.experts(params, batch, model.views)
    draws, count_B = model.samples, jnp.maximum(there_MB.sum(0), 1)
    mixed_MB = jnp.where(there_MB.any(0), there_MB, 1)  # of no view all: log 0 times 0 is no number
    held = jax.lax.stop_gradient((mean, log_var)) if draws > 1 else (mean, log_var)

    def log_weights(z_DBZ: Array, scale_M: Array, beta: float) -> Array:
        """(D, B) for D draws a row."""
        each_DMB = jax.vmap(lambda z_BZ: log_density(z_BZ, *held))(z_DBZ)
        mixture_DB = jax.nn.logsumexp(each_DMB, axis=1, b=mixed_MB) - jnp.log(count_B)
        ratio_DB = log_density(z_DBZ, jnp.zeros_like(z_DBZ), jnp.zeros_like(z_DBZ)) - mixture_DB
        likelihood_DMB = _likelihoods(model, params, batch, z_DBZ)
        return (scale_M[:, None] * likelihood_DMB).sum(1) + beta * ratio_DB

    z_DBZ = _draws(model, key, batch, *(jnp.repeat(x, draws, axis=0) for x in (mean, log_var)))  # K of each expert
    by_expert, scale_M = (len(model.views), draws, -1), scales(model)
    if draws == 1:
        bound_MB = log_weights(z_DBZ, scale_M, model.beta)
    else:
        fixed_DBZ = jax.lax.stop_gradient(z_DBZ)
        share_MKB = jax.nn.softmax(log_weights(fixed_DBZ, scale_M, model.beta).reshape(by_expert), axis=1)
        share_DB = jax.lax.stop_gradient(share_MKB).reshape(len(z_DBZ), -1)
        log_weight_DB = log_weights(fixed_DBZ + share_DB[..., None] * (z_DBZ - fixed_DBZ), scale_M, model.beta)
        summed_MB = (share_DB * log_weight_DB).reshape(by_expert).sum(1)  # whose gradient is wanted
        value_MB = jax.nn.logsumexp(log_weight_DB.reshape(by_expert), axis=1) - math.log(draws)
        bound_MB = summed_MB + jax.lax.stop_gradient(value_MB - summed_MB)
    plain_MB = jax.lax.stop_gradient(log_weights(z_DBZ[::draws], jnp.ones(len(model.views)), 1.0))
    loss_B, elbo_B = (sign * (there_MB * values).sum(0) / count_B for sign, values in ((-1, bound_MB), (1, plain_MB)))
    return loss_B, {"elbo": elbo_B}


def mopoe(model: "Multiview", params: Params, batch: Batch, key: Array) -> Loss:
    """Minus the mean of the bounds of all views, each with z from one subset that a row has whole.

    Sutter et al. 2021, section 3: the mean of the subsets' divergences bounds that of their mixture.
    """
    mean_SBZ, log_var_SBZ, share_SB = model.posterior_of(params, batch, model.views)
    likelihood_SMB = _likelihoods(model, params, batch, _draws(model, key, batch, mean_SBZ, log_var_SBZ))
    kl_SB = divergence(mean_SBZ, log_var_SBZ)
    bound_SB = (scales(model)[:, None] * likelihood_SMB).sum(1) - model.beta * kl_SB
    values = {"elbo": likelihood_SMB.sum(1) - kl_SB, "kl": kl_SB}
    return -(share_SB * bound_SB).sum(0), {name: (share_SB * value_SB).sum(0) for name, value_SB in values.items()}


BOUNDS = {"poe": mvae, "moe": mmvae, "mopoe": mopoe}


def _draws(model: "Multiview", key: Array, batch: Batch, mean_DBZ: Array, log_var_DBZ: Array) -> Array:
    """(D, B, Z) one draw of each of D Gaussians a row."""
    eps_BDZ = noise.normal(key, batch["index"], (len(mean_DBZ), model.latent))
    return mean_DBZ + jnp.exp(0.5 * log_var_DBZ) * eps_BDZ.swapaxes(0, 1)


def _likelihoods(model: "Multiview", params: Params, batch: Batch, z_DBZ: Array) -> Array:
    """(D, M, B) log p(view | z), all draws in one pass through the decoders."""
    return jax.vmap(lambda z_BZ: model.likelihoods(params, batch, z_BZ))(z_DBZ)


def scales(model: "Multiview") -> Array:
    """(M,) weights of the views' likelihoods: 1, or as if all views had as many numbers as the largest."""
    sizes = []
    for field in model.kinds.values():
        symbols = field.longest if isinstance(field, Tokens) else 1 if isinstance(field, Label) else None
        sizes.append(symbols or math.prod(canvas(field)))
    return jnp.array([max(sizes) / size if model.rescale else 1.0 for size in sizes])
