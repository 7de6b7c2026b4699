"""Reading a folder of JPEGs: genjax's pipeline in two threads, against PyTorch's DataLoader in two processes."""

import tempfile
from pathlib import Path

import numpy as np
from peers.pairs import Pair, Side
from PIL import Image

from genjax import data
from genjax.experiment import Data

IMAGES, STORED, SIZE, BATCH, WORKERS = 2000, 96, 64, 64, 2


def pair(precision: str = "float32") -> Pair:
    folder = tempfile.TemporaryDirectory()
    write_images(Path(folder.name))
    shapes = (
        f"{IMAGES} JPEGs of {STORED}x{STORED} to {SIZE}x{SIZE}x3, batch {BATCH}, {WORKERS} workers, Pillow, float32"
    )
    return Pair("data", ours(folder), theirs(folder), BATCH, "images", shapes)


def write_images(folder: Path) -> None:
    """Smooth pictures with some noise, which take about the space of photographs of their size."""
    random = np.random.default_rng(0)
    for i in range(IMAGES):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((STORED, STORED), Image.Resampling.BICUBIC), np.int16)
        pixels = (smooth + random.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05}.jpg", quality=90)


def ours(folder: tempfile.TemporaryDirectory) -> Side:
    dataset = data.load(Data(path=folder.name, image_size=SIZE, batch_size=BATCH, validation=0.01))
    batches = data.train_batches(dataset, BATCH, 0, workers=WORKERS)
    return Side("genjax", lambda count: [next(batches)["image"].shape for _ in range(count)])


class Folder:
    """What PyTorch users write: a data set of one decoded image each, cropped to a square as ours is."""

    def __init__(self, folder: tempfile.TemporaryDirectory):
        self.folder = folder  # kept, for it is deleted with this object
        self.files = sorted(Path(folder.name).iterdir())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int):
        import torch

        with Image.open(self.files[i]) as image:
            image.draft(None, (SIZE, SIZE))
            pixels = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def theirs(folder: tempfile.TemporaryDirectory) -> Side:
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Folder(folder),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
        multiprocessing_context="spawn",  # a fork of a process with JAX's threads may hang
    )

    def forever():
        while True:
            yield from loader

    batches = forever()
    return Side("PyTorch DataLoader", lambda count: [next(batches).shape for _ in range(count)])
