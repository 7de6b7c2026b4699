"""DCGAN on 28 x 28 grey images, both turns a step, against the same layers in PyTorch."""

from peers import sides
from peers.pairs import Pair

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import DCGAN, GAN
from genjax.spec import DataSpec, Image

BATCH, SIZE, WIDTH, LATENT = 64, 28, 32, 100


def pair(precision: str = "float32") -> Pair:
    shapes = f"{SIZE}x{SIZE}x1, width {WIDTH}, latent {LATENT}, both turns, batch {BATCH}, {precision}"
    return Pair("gan", ours(precision), theirs(precision), BATCH, "images", shapes, precision)


def ours(precision: str):
    experiment = Experiment(
        model=GAN(network=DCGAN(WIDTH, WIDTH), latent=LATENT, conditional=False),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=2e-4, b1=0.5),
        train=Train(precision=precision),
    )
    return sides.training(experiment, DataSpec({"image": Image(SIZE, SIZE, 1)}))


def theirs(precision: str):
    import torch
    from peers import adversarial
    from torch import nn
    from torch.nn import functional as F

    device = sides.torch_device()
    generator = adversarial.generator(LATENT, WIDTH, SIZE)
    discriminator = nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * WIDTH),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * WIDTH * (SIZE // 4) ** 2, 1),
    )
    both = sides.placed(nn.ModuleList([generator, discriminator]))
    real = sides.placed(torch.rand(BATCH, 1, SIZE, SIZE) * 2 - 1)
    optimizers = [torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True) for m in both]

    def autocast():
        return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    @torch.compile
    def fake_images():
        with autocast():
            return generator(torch.randn(BATCH, LATENT, device=device)).float()

    @torch.compile
    def discriminator_loss(fake):
        with autocast():
            judged_real, judged_fake = discriminator(real), discriminator(fake)
        return (F.softplus(-judged_real.float()) + F.softplus(judged_fake.float())).mean()

    @torch.compile
    def generator_loss(fake):
        with autocast():
            judged = discriminator(fake)
        return F.softplus(-judged.float()).mean()

    def step():
        """As in the usual DCGAN code: one batch of generated images serves both turns."""
        optimize_generator, optimize_discriminator = optimizers
        fake = fake_images()
        optimize_discriminator.zero_grad()
        discriminator_loss(fake.detach()).backward()
        optimize_discriminator.step()
        optimize_generator.zero_grad()
        discriminator.requires_grad_(False)  # this turn needs no gradient of its weights, and ours computes none
        generator_loss(fake).backward()
        discriminator.requires_grad_(True)
        optimize_generator.step()

    return sides.torch_training("PyTorch, torch.compile", [both], step)
