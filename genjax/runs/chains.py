"""The picture of a hidden Markov model: its graph of moves, what its states emit, and states over sequences."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.spec import Field, States, Tokens

__all__ = ["chain_picture"]

ROWS, WIDTH = 6, 72  # sequences, and symbols of a line
LEAST = 0.02  # the smallest probability of a move that has an arrow
TOP = 8  # symbols that name a state


def chain_picture(
    arrays: Mapping[str, np.ndarray], name: str, kind: States, fields: Mapping[str, Field], tokenizer: Any = None
) -> bytes:
    """PNG of the first sequences `kind.of` with their states `name` (N, T).

    Where there are the arrays `move` (N, K, K) and `emission` (N, K, ...), probabilities and means of one model, its
    graph stands at the left.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    states_NT, x = np.asarray(arrays[name])[:ROWS], np.asarray(arrays[kind.of])[:ROWS]
    symbols = _symbols(fields.get(kind.of), arrays, tokenizer)
    colors = [colormaps["tab20" if kind.states > 10 else "tab10"](k % 20) for k in range(kind.states)]
    figure = Figure(figsize=(14, 1.1 + 0.95 * max(len(states_NT), 4)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.4))
    _graph(left, np.asarray(arrays["move"][0]), _labels(np.asarray(arrays["emission"][0]), symbols), colors)
    for row, axes in enumerate(np.ravel(right.subplots(len(states_NT), 1, squeeze=False))):
        length = int((states_NT[row] >= 0).sum())
        state_T = states_NT[row, :length]
        if symbols:
            _text(axes, [symbols[i] for i in x[row, :length]], state_T, colors)
        else:
            _curve(axes, x[row, :length], state_T, colors)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _symbols(field: Field | None, arrays: Mapping[str, np.ndarray], tokenizer: Any) -> list[str] | None:
    """What each id says; None where the sequence is numbers, or counts."""
    if not isinstance(field, Tokens) or field.vocabulary != np.shape(arrays["emission"])[-1]:
        return None
    if tokenizer is None:
        return [str(i) for i in range(field.vocabulary)]
    texts = [tokenizer.decode([i]) for i in range(field.vocabulary)]
    return [text if text.isprintable() and text != " " else "␣" if text == " " else "·" for text in texts]


def _labels(emission: np.ndarray, symbols: list[str] | None) -> list[str]:
    if symbols:
        order = np.argsort(-emission, axis=1)[:, :TOP]
        return [" ".join(symbols[i] for i in row if emission[k, i] > 0.01) for k, row in enumerate(order)]
    return [", ".join(f"{value:.3g}" for value in row[:4]) + ", …" * (len(row) > 4) for row in emission]


def _graph(figure: Any, move_KK: np.ndarray, labels: list[str], colors: list) -> None:
    """States in a circle; an arrow's width is the probability of its move, and is written on it where there is room."""
    axes, count = figure.subplots(), len(move_KK)
    angle_K = np.pi * (1 - 2 * np.arange(count) / count)
    place_K2 = np.stack([np.cos(angle_K), np.sin(angle_K)], 1) * (count > 1)
    for i, j in np.argwhere(move_KK >= LEAST):
        if i == j:
            continue
        style = {"arrowstyle": "-|>", "lw": 0.4 + 3 * move_KK[i, j], "color": colors[i], "alpha": 0.75}
        style |= {"shrinkA": 24, "shrinkB": 24, "connectionstyle": "arc3,rad=0.18"}
        axes.annotate("", place_K2[j], place_K2[i], arrowprops=style)
        if count <= 6:
            (ax, ay), (bx, by) = place_K2[i], place_K2[j]
            at = ((ax + bx) / 2 + 0.13 * (by - ay), (ay + by) / 2 - 0.13 * (bx - ax))
            axes.text(*at, f"{move_KK[i, j]:.2f}", ha="center", va="center", fontsize=8, color=colors[i])
    for k, (x, y) in enumerate(place_K2):
        axes.scatter(x, y, s=1500, color=colors[k], zorder=3)
        axes.text(x, y, f"{k}\n{move_KK[k, k]:.2f}", ha="center", va="center", color="white", fontsize=9, zorder=4)
        axes.text(x, y - 0.27, labels[k], ha="center", va="top", fontsize=9, parse_math=False)
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.4))
    axes.set_title("states: probability to stay, to move, and what they emit", fontsize=9)
    axes.axis("off")


def _text(axes: Any, symbols: list[str], state_T: np.ndarray, colors: list) -> None:
    """The first symbols of a sequence, each on the colour of its state; under them all states of a longer one."""
    for t, (symbol, state) in enumerate(zip(symbols[: 2 * WIDTH], state_T)):
        line, column = divmod(t, WIDTH)
        axes.text(
            column, -line, symbol, ha="center", va="center", fontsize=8, family="monospace", parse_math=False,
            bbox={"boxstyle": "square,pad=0.18", "fc": (*colors[state][:3], 0.45), "ec": "none"},
        )  # fmt: skip
    if len(symbols) > 2 * WIDTH:
        place = (-0.5, WIDTH - 0.5, -2.3, -1.8)
        axes.imshow(np.asarray(colors)[state_T][None], extent=place, aspect="auto", interpolation="nearest")
    axes.set(xlim=(-1, WIDTH), ylim=(-2.4, 0.6))
    axes.axis("off")


def _curve(axes: Any, x: np.ndarray, state_T: np.ndarray, colors: list) -> None:
    """Numbers over time, on the colours of the states."""
    axes.plot(x.reshape(len(x), -1), lw=1, color="#333333", marker="." if len(x) < 200 else None, ms=3)
    ends = np.flatnonzero(np.diff(state_T, append=-1)) + 1
    for begin, end in zip([0, *ends], ends):
        axes.axvspan(begin - 0.5, end - 0.5, color=colors[state_T[begin]], alpha=0.35, lw=0)
    axes.set_xlim(-0.5, len(x) - 0.5)
    axes.tick_params(labelsize=7)
