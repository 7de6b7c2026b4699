"""Grids and every step agree with the diffusers package, given the same denoiser and the same noise, in float32."""

import jax
import numpy as np
import pytest
from diffusion.mixture import Mixture

from genjax.diffusion import DDPM, EDM, Estimate, Flow, Level, clipped, least_end, sample, start
from genjax.diffusion.target import coefficients
from genjax.nn import noise

diffusers = pytest.importorskip("diffusers")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

MIXTURE = Mixture(shape=(2, 2, 1))
KEY = jax.random.key(7)
INDEX = np.arange(3)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}


def ours(process, grid, sampler, denoise=MIXTURE.denoise, **options):
    """x after 0, 1, .. steps."""
    steps = len(grid.t) - 1
    x = start(grid, jax.random.key(3), INDEX, MIXTURE.shape)
    frames = tuple(range(steps + 1))
    image, kept = jax.jit(
        lambda x: sample(
            denoise, x, grid, process=process, sampler=sampler, key=KEY, index_B=INDEX, frames=frames, **options
        )
    )(x)
    np.testing.assert_array_equal(kept[-1], image)
    np.testing.assert_array_equal(kept[0], x)
    return np.asarray(kept)


def level_of(grid, n) -> Level:
    return Level(*(np.float32(values[n]) for values in grid))


def clean(x, grid, n) -> np.ndarray:
    """D at the n-th level."""
    return np.array(MIXTURE.denoise(np.asarray(x, np.float32), level_of(grid, n)).image)


def epsilon(x, grid, n) -> np.ndarray:
    level = level_of(grid, n)
    return (np.asarray(x) - level.alpha * clean(x, grid, n)) / level.sigma


def same_noise(monkeypatch, module, steps):
    """The n-th noise that a diffusers scheduler draws is the one of our n-th step.

    None in the last step, as Ho et al.'s algorithm 2 says; diffusers leaves it out where the last step is t = 0 only.
    """
    draws = iter(range(steps))

    def randn(shape, **_):
        n = next(draws)
        z = noise.normal(jax.random.fold_in(KEY, n), INDEX, shape[1:]) * (n < steps - 1)
        return torch.from_numpy(np.array(z))

    monkeypatch.setattr(module, "randn_tensor", randn)


def exact(scheduler):
    """The scheduler with its levels summed up in float64: its own float32 sums differ from them by 1e-4."""
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), 0)
    return scheduler


def capped(scheduler):
    """The scheduler with its grid begun at sigma / alpha = 80 at most: by default that is the process' most noise."""
    scheduler._convert_to_karras_of_all = scheduler._convert_to_karras
    scheduler._convert_to_karras = lambda in_sigmas, num_inference_steps: scheduler._convert_to_karras_of_all(
        in_sigmas=np.minimum(in_sigmas, 80.0), num_inference_steps=num_inference_steps
    )
    if hasattr(scheduler, "_convert_to_lu"):  # of log sigma
        lu = scheduler._convert_to_lu
        scheduler._convert_to_lu = lambda in_lambdas, num_inference_steps: lu(
            in_lambdas=np.minimum(in_lambdas, np.log(80.0)), num_inference_steps=num_inference_steps
        )
    return scheduler


def walk(scheduler, x, output, **options):
    """x after each step of a scheduler; `output(x, n)` is what its network says."""
    x, states = torch.from_numpy(np.array(x)), []
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # two steps may have the same t
    for n, t in enumerate(scheduler.timesteps):
        x = scheduler.step(torch.from_numpy(np.asarray(output(x.numpy(), n))), t, x, **options).prev_sample
        states.append(x.numpy())
    return states


# float32 noise divided by the cosine's last alpha, 5e-5, says little: there D itself is given
@pytest.mark.parametrize(("schedule", "predicts"), [("linear", "epsilon"), ("linear", "sample"), ("cosine", "sample")])
@pytest.mark.parametrize("variance", ["small", "large", "learned"])
def test_ddpm(monkeypatch, schedule, variance, predicts):
    same_noise(monkeypatch, diffusers.schedulers.scheduling_ddpm, 20)
    kind = {"small": "fixed_small", "large": "fixed_large", "learned": "learned_range"}[variance]
    theirs = diffusers.DDPMScheduler(
        beta_schedule=BETAS[schedule],
        variance_type=kind,
        prediction_type=predicts,
        clip_sample=False,
        timestep_spacing="trailing",
    )
    exact(theirs).set_timesteps(20)
    process = DDPM(schedule)
    grid = process.grid(20)
    np.testing.assert_array_equal(theirs.timesteps, grid.t[:-1])
    np.testing.assert_allclose(theirs.alphas_cumprod, process.level(np.arange(1000)).alpha ** 2, rtol=1e-4)
    v = np.linspace(-1, 1, MIXTURE.shape[0] * MIXTURE.shape[1]).reshape(MIXTURE.shape).astype(np.float32)
    v = np.broadcast_to(v, (3, *MIXTURE.shape))

    def output(x, n):
        value = (epsilon if predicts == "epsilon" else clean)(x, grid, n)
        return np.concatenate([value, v], 1) if variance == "learned" else value

    def denoise(x, level, previous):
        return Estimate(MIXTURE.denoise(x, level).image, (v + 1) / 2 if variance == "learned" else None)

    states = ours(process, grid, "ddpm", denoise, variance=variance)
    for mine, other in zip(states[1:], walk(theirs, states[0], output), strict=True):
        np.testing.assert_allclose(mine, other, **CLOSE)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_clipping(monkeypatch, eta):
    same_noise(monkeypatch, diffusers.schedulers.scheduling_ddim, 20)
    theirs = diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=True, timestep_spacing="trailing")
    exact(theirs).set_timesteps(20)
    grid = DDPM().grid(20)

    def denoise(x, level, previous):
        return Estimate(2 * MIXTURE.denoise(x, level).image)  # beyond [-1, 1] at most levels

    def output(x, n):
        level = level_of(grid, n)
        return (x - level.alpha * 2 * clean(x, grid, n)) / level.sigma

    states = ours(DDPM(), grid, "ddim", clipped(denoise), eta=eta)
    # theirs keeps the network's epsilon unless told to follow the clipped image, as the papers' code does
    others = walk(theirs, states[0], output, eta=eta, use_clipped_model_output=True)
    for mine, other in zip(states[1:], others, strict=True):
        np.testing.assert_allclose(mine, other, **CLOSE)
    assert np.abs(states[-1]).max() == 1


def test_ddpm_visits_every_step():
    theirs = diffusers.DDPMScheduler(timestep_spacing="trailing")
    theirs.set_timesteps(1000)
    np.testing.assert_array_equal(theirs.timesteps, DDPM().grid(1000).t[:-1])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(
    ("spacing", "end", "eta"),
    [  # diffusers draws noise in a last step that does not end clean, too
        ("trailing", "clean", 0.0),
        ("trailing", "clean", 0.5),
        ("leading", "clean", 0.5),
        ("trailing", "least", 0.0),
        ("leading", "least", 0.0),  # its DDIM steps down by 50 after "linspace" too, so there only the grid is compared
    ],
)
def test_ddim(monkeypatch, schedule, spacing, end, eta):
    same_noise(monkeypatch, diffusers.schedulers.scheduling_ddim, 20)
    theirs = diffusers.DDIMScheduler(
        beta_schedule=BETAS[schedule],
        prediction_type="sample",
        clip_sample=False,
        timestep_spacing=spacing,
        set_alpha_to_one=end == "clean",
    )
    exact(theirs)
    theirs.final_alpha_cumprod = torch.tensor(1.0) if end == "clean" else theirs.alphas_cumprod[0]
    theirs.set_timesteps(20)
    process = DDPM(schedule)
    grid = process.grid(20, spacing)
    np.testing.assert_array_equal(theirs.timesteps, grid.t[:-1])
    grid = grid if end == "clean" else least_end(grid, process)
    states = ours(process, grid, "ddim", eta=eta)
    others = walk(theirs, states[0], lambda x, n: clean(x, grid, min(n, len(grid.t) - 1)), eta=eta)
    for mine, other in zip(states[1:], others, strict=(spacing, end) != ("leading", "least")):
        np.testing.assert_allclose(mine, other, **CLOSE)
    np.testing.assert_allclose(states[-1], others[-1], **CLOSE)  # such a last step leads from the least noise to itself


def test_linspace_and_zero_snr():
    theirs = diffusers.DDIMScheduler(beta_schedule="linear", timestep_spacing="linspace", rescale_betas_zero_snr=True)
    theirs.set_timesteps(20)
    process = DDPM(zero_snr=True)
    np.testing.assert_array_equal(theirs.timesteps, process.grid(20, "linspace").t[:-1])
    np.testing.assert_allclose(theirs.alphas_cumprod, process.level(np.arange(1000)).alpha ** 2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddim_from_pure_noise(schedule):
    """Zero terminal SNR with "trailing" steps and the target v, as Lin et al. 2024 sample."""
    theirs = diffusers.DDIMScheduler(
        beta_schedule=BETAS[schedule],
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )
    process = DDPM(schedule, zero_snr=True)
    theirs.alphas_cumprod = torch.from_numpy(process.level(np.arange(1000)).alpha ** 2)  # theirs are float32 sums
    theirs.set_timesteps(20)
    grid = process.grid(20, "trailing")
    np.testing.assert_array_equal(theirs.timesteps, grid.t[:-1])
    assert grid.alpha[0] < 1e-15

    def velocity(x, n):
        level, image = level_of(grid, n), clean(x, grid, n)
        return level.alpha * (x - level.alpha * image) / level.sigma - level.sigma * image

    states = ours(process, grid, "ddim")
    for mine, other in zip(states[1:], walk(theirs, states[0], velocity), strict=True):
        np.testing.assert_allclose(mine, other, **CLOSE)


@pytest.mark.parametrize("spacing", ["karras", "trailing"])
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_euler_and_heun(sampler, spacing):
    kind = diffusers.EulerDiscreteScheduler if sampler == "euler" else diffusers.HeunDiscreteScheduler
    theirs = kind(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        use_karras_sigmas=spacing == "karras",
        timestep_spacing="linspace" if spacing == "karras" else "trailing",
    )
    capped(exact(theirs)).set_timesteps(12)
    grid = DDPM().grid(12, spacing)
    first = slice(None) if sampler == "euler" else np.r_[0 : 2 * 12 - 1 : 2, -1]
    np.testing.assert_allclose(theirs.sigmas[first], grid.sigma / grid.alpha, rtol=2e-6)
    np.testing.assert_allclose(theirs.timesteps[first][:12], grid.t[:-1], rtol=1e-5, atol=1e-4)
    states = ours(DDPM(), grid, sampler)

    def output(x, n):
        if sampler == "heun":  # calls alternate between a step's start and its end
            n = (n + 1) // 2
        theirs.is_scale_input_called = True
        return epsilon(x * np.float32(grid.alpha[n]), grid, n)  # theirs walks x / alpha

    others = walk(theirs, states[0] / np.float32(grid.alpha[0]), output)
    others = others if sampler == "euler" else others[1::2] + others[-1:]
    for n, (mine, other) in enumerate(zip(states[1:], others, strict=True), 1):
        np.testing.assert_allclose(mine, other * np.float32(grid.alpha[n]), **CLOSE)


@pytest.mark.parametrize("spacing", ["karras", "log_snr", "trailing"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_dpmpp_2m(schedule, spacing):
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_schedule=BETAS[schedule],
        prediction_type="sample",
        use_karras_sigmas=spacing == "karras",
        use_lu_lambdas=spacing == "log_snr",
        timestep_spacing="trailing",
    )
    capped(exact(theirs)).set_timesteps(16)
    grid = DDPM(schedule).grid(16, spacing)
    np.testing.assert_allclose(theirs.sigmas, grid.sigma / grid.alpha, rtol=2e-6 if schedule == "linear" else 1e-4)
    states = ours(DDPM(schedule), grid, "dpmpp_2m")
    for mine, other in zip(states[1:], walk(theirs, states[0], lambda x, n: clean(x, grid, n)), strict=True):
        np.testing.assert_allclose(mine, other, **CLOSE)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_euler(shift):
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / 12, 12))  # as the pipelines of SD 3 and Flux call it
    process = Flow(shift)
    grid = process.grid(12)
    np.testing.assert_allclose(theirs.sigmas, grid.sigma, **CLOSE)
    np.testing.assert_allclose(theirs.timesteps, process.condition(Level(*(v[:-1] for v in grid))), rtol=1e-5)
    states = ours(process, grid, "euler")
    others = walk(theirs, states[0], lambda x, n: (x - clean(x, grid, n)) / np.float32(grid.sigma[n]))
    for mine, other in zip(states[1:], others, strict=True):
        np.testing.assert_allclose(mine, other, **CLOSE)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_edm(sampler):
    """The network's output F goes in: its preconditioning (target "edm") is compared too."""
    kind = diffusers.EDMEulerScheduler if sampler == "euler" else diffusers.EDMDPMSolverMultistepScheduler
    theirs = kind(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5)
    theirs.set_timesteps(12)
    process = EDM()
    grid = process.grid(12)
    np.testing.assert_allclose(theirs.sigmas, grid.sigma, rtol=1e-5)
    np.testing.assert_allclose(
        np.ravel(theirs.timesteps), process.condition(Level(*(v[:-1] for v in grid))), rtol=1e-4, atol=1e-6
    )
    states = ours(process, grid, sampler)

    def output(x, n):
        theirs.is_scale_input_called = True
        level = level_of(grid, n)
        image = clean(x, grid, n)
        a, b = (np.asarray(v) for v in coefficients("edm", level, 0.5))
        return a * image + b * (x - image) / level.sigma

    for mine, other in zip(states[1:], walk(theirs, states[0], output), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
