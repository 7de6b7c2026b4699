"""What pages about runs have in common: values as words, and samples inside the page."""

import base64
import io
import math
import re
from importlib import resources
from pathlib import Path

import numpy as np

from genjax.errors import UserError

__all__ = ["DATA", "data_uri", "flat", "samples", "show", "style"]

DATA = "data"  # the name of the sheet of real examples, beside the samples
TEXT = 6000  # characters shown of a text sample


def flat(tree: dict, prefix: str = ""):
    """(dotted name, value) of every leaf: the names are those of the command line's overrides."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def show(value) -> str:
    if value is None or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return ", ".join(map(show, value)) if isinstance(value, list) else str(value)


def style() -> str:
    """The style sheet of all pages."""
    return resources.files("genjax.runs").joinpath("style.css").read_text("utf-8")


def samples(folder: Path, shown: int, limit: int) -> list[dict]:
    """For every kind of sample, `shown` moments up to the last: [{"name", "moments": [{"label", "image" or "text"}]}].

    `limit`: bytes of all images together, as the page holds them. Raises UserError for a broken picture.
    """
    kinds: dict[str, list] = {}
    for path in folder.glob("*") if folder.is_dir() else ():
        if match := re.fullmatch(r"(\d+|final)(?:-(.+))?\.(png|txt)", path.name):
            step, name, _ = match.groups()
            order = math.inf if step == "final" else int(step)
            kinds.setdefault(name or "", []).append((order, path))
    picked = {}
    for name, moments in sorted(kinds.items()):
        moments.sort()
        indices = np.unique(np.linspace(len(moments) - 1, 0, shown).round().astype(int))
        picked[name] = [moments[i] for i in indices]
    share = limit // max(1, sum(map(len, picked.values()))) * 3 // 4  # base64 takes 4 bytes for 3
    return [{"name": name, "moments": [_moment(*m, share) for m in moments]} for name, moments in picked.items()]


def _moment(order: float, path: Path, share: int) -> dict:
    label = "final" if order == math.inf else f"step {show(order)}"
    if path.suffix == ".png":
        return {"label": label, "image": data_uri(path, share)}
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", path.read_text("utf-8", "replace"))
    return {"label": label, "text": text[:TEXT] + "\n…" * (len(text) > TEXT)}


def data_uri(path: Path, limit: int) -> str:
    """The picture as it is; above `limit` bytes, smaller and as JPEG."""
    from PIL import Image

    data, kind = path.read_bytes(), "png"
    for side in (1024, 768, 512, 384, 256, 128):
        if len(data) <= limit:
            break
        try:
            image = Image.open(path).convert("RGB")
        except Exception:  # Pillow tells damage by errors of many kinds
            raise UserError(f"{path} is no readable picture: delete it") from None
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        data, kind = buffer.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
