"""The convolutional VAE on 28 x 28 grey images, against the same layers in PyTorch, and against Keras as taught."""

import os

from peers import sides
from peers.pairs import Pair, Side

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import VAE, ConvAutoencoder
from genjax.spec import DataSpec, Image

BATCH, SIDE, WIDTHS, LATENT = 128, 28, (32, 64), 16


def pair(precision: str = "float32") -> Pair:
    shapes = f"{SIDE}x{SIDE}x1, widths {WIDTHS}, latent {LATENT}, batch {BATCH}, {precision}"
    return Pair("vae", ours(precision), theirs(precision), BATCH, "images", shapes, precision)


def keras(precision: str = "float32") -> Pair:
    shapes = f"{SIDE}x{SIDE}x1, widths {WIDTHS}, latent {LATENT}, batch {BATCH}, {precision}"
    return Pair("vae_keras", ours(precision), their_keras(precision), BATCH, "images", shapes, precision)


def ours(precision: str):
    experiment = Experiment(
        model=VAE(network=ConvAutoencoder(widths=WIDTHS), latent=LATENT, conditional=False),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=1e-3),
        train=Train(precision=precision),
    )
    return sides.training(experiment, DataSpec({"image": Image(SIDE, SIDE, 1)}))


def theirs(precision: str):
    import torch
    from torch import nn
    from torch.nn import functional as F

    device = sides.torch_device()
    grid = SIDE // 2 ** len(WIDTHS)

    encoder = nn.Sequential(
        *[
            layer
            for c, width in zip((1, *WIDTHS), WIDTHS)
            for layer in (nn.Conv2d(c, width, 4, stride=2, padding=1), nn.GELU(approximate="tanh"))
        ],
        nn.Flatten(),
        nn.Linear(WIDTHS[-1] * grid**2, 2 * LATENT),
    )
    up = [nn.Linear(LATENT, WIDTHS[-1] * grid**2), nn.GELU(approximate="tanh"), nn.Unflatten(1, (-1, grid, grid))]
    c = WIDTHS[-1]
    for width in reversed(WIDTHS[:-1]):
        up += [nn.Conv2d(c, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.GELU(approximate="tanh")]
        up += [nn.Conv2d(width, width, 3, padding=1), nn.GELU(approximate="tanh")]
        c = width
    decoder = nn.Sequential(*up, nn.Conv2d(c, 4, 3, padding=1), nn.PixelShuffle(2))
    model = sides.placed(nn.ModuleList([encoder, decoder]))
    image = sides.placed(torch.rand(BATCH, 1, SIDE, SIDE))

    @torch.compile
    def loss(x):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            mean, log_var = encoder(2 * x - 1).float().chunk(2, dim=1)
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
            logits = decoder(z).float()
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
        nats = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
        return (nats + kl).mean()

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step():
        optimizer.zero_grad()
        loss(image).backward()
        optimizer.step()

    return sides.torch_training("PyTorch, torch.compile", [model], step)


def their_keras(precision: str) -> Side:
    """What Keras' tutorials show: strided and transposed convolutions, a `train_step` of one's own, `fit`.

    The kernels' sizes are chosen so that it has the parameters of ours.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the tutorials'; before keras is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    keras.mixed_precision.set_global_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    layers, ops = keras.layers, keras.ops
    grid = SIDE // 2 ** len(WIDTHS)
    encoder = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            *[layers.Conv2D(width, 4, strides=2, padding="same", activation="relu") for width in WIDTHS],
            layers.Flatten(),
            layers.Dense(2 * LATENT, dtype="float32"),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((LATENT,)),
            layers.Dense(grid * grid * WIDTHS[-1], activation="relu"),
            layers.Reshape((grid, grid, WIDTHS[-1])),
            layers.Conv2DTranspose(WIDTHS[1], 4, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(WIDTHS[0], 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid", dtype="float32"),
        ]
    )

    class VAE(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def train_step(self, x):
            with tf.GradientTape() as tape:
                mean, log_var = ops.split(self.encoder(x), 2, axis=-1)
                z = mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean))
                nats = ops.sum(keras.losses.binary_crossentropy(x, self.decoder(z)), axis=(1, 2))
                kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_var) - 1 - log_var, axis=1)
                loss = ops.mean(nats + kl)
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
            return {"loss": loss}

    model = VAE()
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    batches = tf.data.Dataset.from_tensors(tf.random.uniform((BATCH, SIDE, SIDE, 1))).repeat()

    def fit(count: int) -> None:
        model.fit(batches, steps_per_epoch=count, shuffle=False, verbose=0)

    return Side("Keras (TensorFlow) fit", fit, encoder.count_params() + decoder.count_params())
