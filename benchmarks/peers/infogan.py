"""InfoGAN on 28 x 28 grey images, both turns a step, against the same layers in PyTorch."""

import math

from peers import sides
from peers.pairs import Pair

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import DCGAN, InfoGAN
from genjax.spec import DataSpec, Image

BATCH, SIZE, WIDTH, LATENT, CLASSES, CONTINUOUS = 64, 28, 32, 62, 10, 2
LAMBDA, LAMBDA_CONTINUOUS, RATE = 1.0, 0.1, 5e-4


def pair(precision: str = "float32") -> Pair:
    shapes = f"{SIZE}x{SIZE}x1, width {WIDTH}, latent {LATENT}, both turns, batch {BATCH}, {precision}"
    theirs = Peer(WIDTH, precision, compiled=True)
    side = sides.torch_training("PyTorch, torch.compile", theirs.modules, theirs.synthetic())
    ours = sides.training(experiment(WIDTH, precision), DataSpec({"image": Image(SIZE, SIZE, 1)}))
    return Pair("infogan", ours, side, BATCH, "images", shapes, precision)


def experiment(width: int = WIDTH, precision: str = "float32") -> Experiment:
    return Experiment(
        model=InfoGAN(network=DCGAN(width, width), latent=LATENT, continuous=CONTINUOUS),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=RATE, b1=0.5),
        train=Train(precision=precision),
    )


class Peer:
    """The players and `step(real)`, as the usual InfoGAN code has them: one batch of generated images for both."""

    def __init__(self, width: int = WIDTH, precision: str = "float32", compiled: bool = False):
        import torch
        from peers import adversarial
        from torch import nn

        self.torch, self.device = torch, sides.torch_device()
        generator = adversarial.generator(LATENT + CLASSES + CONTINUOUS, width)
        judge = adversarial.Judge(width)
        q = nn.Sequential(
            nn.Linear(judge.features, 128),
            nn.BatchNorm1d(128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, CLASSES + 2 * CONTINUOUS),
        )
        adversarial.initialize(nn.ModuleList([generator, judge]))
        for layer in (q[0], q[3]):  # LeCun's
            nn.init.trunc_normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
        self.generator, self.judge, self.q = (sides.placed(module) for module in (generator, judge, q))
        self.modules = [self.generator, self.judge, self.q]
        own = [[*self.judge.parameters(), *self.q.parameters()], list(self.generator.parameters())]
        self.optimizers = [torch.optim.Adam(p, lr=RATE, betas=(0.5, 0.999), fused=True) for p in own]
        self.autocast = lambda: torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16")
        wrap = torch.compile if compiled else lambda function: function
        self._made, self._judging, self._making = map(wrap, (self._made, self._judging, self._making))

    def codes(self, count: int):
        torch = self.torch
        category = torch.randint(CLASSES, (count,), device=self.device)
        return category, torch.rand(count, CONTINUOUS, device=self.device) * 2 - 1

    def _made(self, category, slope):
        torch = self.torch
        noise = torch.randn(len(category), LATENT, device=self.device)
        hot = torch.nn.functional.one_hot(category, CLASSES)
        with self.autocast():
            return self.generator(torch.cat([noise, hot, slope], dim=1)).float()

    def _lost(self, answer, category, slope):
        """-lambda times the bound of equation 5, without its entropies."""
        functional = self.torch.nn.functional
        lost = LAMBDA * functional.cross_entropy(answer[:, :CLASSES], category)
        mean, log_std = answer[:, CLASSES:].chunk(2, dim=1)
        log_q = -0.5 * ((slope - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return lost - LAMBDA_CONTINUOUS * log_q.sum(1).mean()

    def _judging(self, real, fake, category, slope):
        functional = self.torch.nn.functional
        with self.autocast():
            (on_real, _), (on_fake, features) = self.judge(real), self.judge(fake)
            answer = self.q(features)
        loss = (functional.softplus(-on_real.float()) + functional.softplus(on_fake.float())).mean()
        return loss + self._lost(answer.float(), category, slope)

    def _making(self, fake, category, slope):
        with self.autocast():
            logit, features = self.judge(fake)
            answer = self.q(features)
        return self.torch.nn.functional.softplus(-logit.float()).mean() + self._lost(answer.float(), category, slope)

    def step(self, real) -> None:
        judging, making = self.optimizers
        category, slope = self.codes(len(real))
        fake = self._made(category, slope)
        judging.zero_grad()
        self._judging(real, fake.detach(), category, slope).backward()
        judging.step()
        making.zero_grad()
        for module in (self.judge, self.q):
            module.requires_grad_(False)
        self._making(fake, category, slope).backward()
        for module in (self.judge, self.q):
            module.requires_grad_(True)
        making.step()

    def synthetic(self):
        """A step on one batch of noise, for timing."""
        real = sides.placed(self.torch.rand(BATCH, 1, SIZE, SIZE) * 2 - 1)
        return lambda: self.step(real)

    def sample(self, count: int):
        """(count, 1, H, W) in [-1, 1]; batch norm uses its running averages."""
        with self.torch.no_grad():
            self.generator.eval()
            image = self._made(*self.codes(count))
            self.generator.train()
        return image

    def clusters(self, image):
        """(N,) the category that Q names."""
        with self.torch.no_grad():
            self.judge.eval(), self.q.eval()
            found = self.q(self.judge(image)[1])[:, :CLASSES].argmax(1)
            self.judge.train(), self.q.train()
        return found
