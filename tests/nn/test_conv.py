"""Convolutions and changes of resolution."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.nn import conv
from genjax.nn.conv import Upsample, crop_to, depth_to_space


def test_depth_to_space_puts_four_channels_into_a_square():
    x = jnp.arange(4.0).reshape(1, 1, 1, 4)
    np.testing.assert_array_equal(depth_to_space(x)[0, :, :, 0], [[0, 1], [2, 3]])
    x = jnp.arange(2 * 3 * 5 * 8.0).reshape(2, 3, 5, 8)
    y = depth_to_space(x)
    assert y.shape == (2, 6, 10, 2)
    np.testing.assert_array_equal(y[1, 3, 4], x[1, 1, 2, 4:6])


def test_upsampling_starts_without_a_checkerboard():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    up = Upsample(5)
    y = up.apply(up.init(jax.random.key(1), x), x)
    assert y.shape == (2, 8, 8, 5)
    squares = y.reshape(2, 4, 2, 4, 2, 5)
    np.testing.assert_array_equal(squares, np.broadcast_to(squares[:, :, :1, :, :1], squares.shape))


def test_crop_takes_the_centre():
    x = jnp.arange(64.0).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(crop_to(x, 4, 6), x[:, 2:6, 1:7])


def test_parts_do_not_change_the_convolution():
    x = jax.random.normal(jax.random.key(0), (16, 5, 5, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))

    def value(convolution):
        def of(x, kernel):
            y = convolution(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return (y**2).sum(), y

        return jax.jit(jax.value_and_grad(of, (0, 1), has_aux=True))(x, kernel)

    def convolutions(argument, batch):
        """In the gradient with respect to an argument."""
        nhwc = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        of = lambda x, kernel: (conv.convolve(x, kernel, (1, 1), "SAME", **nhwc) ** 2).sum()  # noqa: E731
        program = jax.make_jaxpr(jax.grad(of, argument))(x[:batch], kernel)
        return str(program).count("conv_general_dilated[")

    assert convolutions(0, 16) == convolutions(0, 15) == convolutions(1, 15) == 2
    assert convolutions(1, 16) == 1 + 1 + 16 // conv.CHUNK  # the kernel's alone is in parts, on CPU
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        value(conv.convolve),
        value(jax.lax.conv_general_dilated),
    )


def test_forward_mode_of_the_convolution():
    x = jax.random.normal(jax.random.key(0), (16, 5, 5, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
    nhwc = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    def tangents(convolution):
        of = lambda x, kernel: convolution(x, kernel, (1, 1), "SAME", **nhwc)  # noqa: E731
        both = jax.jvp(of, (x, kernel), (x + 1, kernel - 1))
        several = jax.vmap(lambda v: jax.jvp(lambda x: of(x, kernel), (x,), (v,))[1])(jnp.stack([x, 2 * x]))
        return both, several, jax.jvp(lambda kernel: of(x, kernel), (kernel,), (kernel - 1,))[1]

    ours, plain = jax.jit(tangents, static_argnums=0)(conv.convolve), tangents(jax.lax.conv_general_dilated)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, plain)
