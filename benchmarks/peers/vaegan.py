"""VAE-GAN on 28 x 28 grey images, its three turns a step, against the same layers in PyTorch."""

from peers import sides
from peers.pairs import Pair

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import DCGAN, VAEGAN, ConvAutoencoder
from genjax.spec import DataSpec, Image

BATCH, SIZE, WIDTH, LATENT, GAMMA, RATE = 64, 28, 32, 32, 1e-3, 3e-4


def pair(precision: str = "float32") -> Pair:
    shapes = f"{SIZE}x{SIZE}x1, width {WIDTH}, latent {LATENT}, three turns, batch {BATCH}, {precision}"
    theirs = Peer(WIDTH, precision, compiled=True)
    side = sides.torch_training("PyTorch, torch.compile", theirs.modules, theirs.synthetic())
    ours = sides.training(experiment(WIDTH, precision), DataSpec({"image": Image(SIZE, SIZE, 1)}))
    return Pair("vaegan", ours, side, BATCH, "images", shapes, precision)


def experiment(width: int = WIDTH, precision: str = "float32") -> Experiment:
    return Experiment(
        model=VAEGAN(
            encoder=ConvAutoencoder(widths=(width, 2 * width)),
            network=DCGAN(width, width),
            latent=LATENT,
            gamma=GAMMA,
        ),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=RATE, b1=0.5),
        train=Train(precision=precision),
    )


class Peer:
    """The players and `step(real)`: algorithm 1, each player's gradient against what the ones before have become."""

    def __init__(self, width: int = WIDTH, precision: str = "float32", compiled: bool = False):
        import torch
        from peers import adversarial
        from torch import nn

        self.torch, self.device, features = torch, sides.torch_device(), 2 * width * (SIZE // 4) ** 2
        encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),
            nn.GELU(approximate="tanh"),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GELU(approximate="tanh"),
            nn.Flatten(),
            nn.Linear(features, 2 * LATENT),
        )
        for layer in encoder:
            if hasattr(layer, "weight"):  # LeCun's
                nn.init.trunc_normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
                nn.init.zeros_(layer.bias)
        generator, judge = adversarial.generator(LATENT, width), adversarial.Judge(width)
        adversarial.initialize(nn.ModuleList([generator, judge]))
        self.encoder, self.generator, self.judge = (sides.placed(module) for module in (encoder, generator, judge))
        self.modules = [self.encoder, self.generator, self.judge]
        self.optimizers = [
            torch.optim.Adam(module.parameters(), lr=RATE, betas=(0.5, 0.999), fused=True) for module in self.modules
        ]
        self.autocast = lambda: torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16")
        wrap = torch.compile if compiled else lambda function: function
        self._encoding, self._making, self._judging = map(wrap, (self._encoding, self._making, self._judging))

    def _codes(self, real, eps):
        mean, log_variance = self.encoder(real).float().chunk(2, dim=1)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return mean + (0.5 * log_variance).exp() * eps, kl

    def _likeness(self, real, made):
        (_, wanted), (logit, found) = self.judge(real), self.judge(made)
        return 0.5 * ((wanted - found).float() ** 2).sum(1).mean(), logit.float()

    def _encoding(self, real, eps):
        with self.autocast():
            z, kl = self._codes(real, eps)
            likeness, _ = self._likeness(real, self.generator(z))
        return kl + likeness

    def _making(self, real, eps, prior):
        softplus = self.torch.nn.functional.softplus
        with self.autocast():
            z, _ = self._codes(real, eps)
            likeness, made = self._likeness(real, self.generator(z))
            drawn, _ = self.judge(self.generator(prior))
        return GAMMA * likeness + (softplus(-made) + softplus(-drawn.float())).mean()

    def _judging(self, real, eps, prior):
        softplus = self.torch.nn.functional.softplus
        with self.autocast():
            with self.torch.no_grad():
                made, drawn = self.generator(self._codes(real, eps)[0]), self.generator(prior)
            logits = [self.judge(image)[0].float() for image in (real, made, drawn)]
        return (softplus(-logits[0]) + softplus(logits[1]) + softplus(logits[2])).mean()

    def step(self, real) -> None:
        eps, prior = (self.torch.randn(len(real), LATENT, device=self.device) for _ in range(2))
        turns = ((self._encoding, (real, eps)), (self._making, (real, eps, prior)), (self._judging, (real, eps, prior)))
        for player, optimizer, (loss, given) in zip(self.modules, self.optimizers, turns):
            for module in self.modules:
                module.requires_grad_(module is player)
            optimizer.zero_grad()
            loss(*given).backward()
            optimizer.step()

    def synthetic(self):
        """A step on one batch of noise, for timing."""
        real = sides.placed(self.torch.rand(BATCH, 1, SIZE, SIZE) * 2 - 1)
        return lambda: self.step(real)

    def sample(self, count: int):
        """(count, 1, H, W) in [-1, 1]; batch norm uses its running averages."""
        with self.torch.no_grad():
            self.generator.eval()
            image = self.generator(self.torch.randn(count, LATENT, device=self.device))
            self.generator.train()
        return image
