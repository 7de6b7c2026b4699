"""Heat maps over the words of two texts, such as attention."""

import io
from collections.abc import Sequence

import numpy as np

__all__ = ["heat_maps"]

INCH = 0.24  # a word's height and width in the picture


def heat_maps(map_NTS: np.ndarray, rows: Sequence[Sequence[str]], columns: Sequence[Sequence[str]]) -> bytes:
    """A PNG file with a map for each sample, side by side: values in [0, 1], from white to blue.

    Args:
      rows, columns: the words of each sample, up to T and S; what is beyond them is padding and not drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widths, heights = ([len(words) * INCH + 1.2 for words in texts] for texts in (columns, rows))
    figure = Figure((sum(widths), max(heights)), dpi=100, layout="constrained")
    axes = figure.subplots(1, len(rows), squeeze=False, width_ratios=widths)[0]
    for axis, map_TS, down, across in zip(axes, map_NTS, rows, columns):
        axis.imshow(map_TS[: len(down), : len(across)], cmap="Blues", vmin=0, vmax=1)
        axis.set_xticks(range(len(across)), [word.replace("$", r"\$") for word in across], rotation=90)
        axis.set_yticks(range(len(down)), [word.replace("$", r"\$") for word in down])
        axis.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
