"""Variational autoencoder (Kingma & Welling 2013, arXiv:1312.6114): beta-VAE, conditional VAE, KL autoencoder."""

from genjax.models.vae.judged import Adversarial
from genjax.models.vae.model import LOG_VARIANCE, VAE
from genjax.models.vae.sample import VAEOptions
from genjax.models.vae.vqvae import VQVAE

__all__ = ["LOG_VARIANCE", "VAE", "VQVAE", "Adversarial", "VAEOptions"]
