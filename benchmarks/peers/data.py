"""Reading a folder of JPEGs: genjax's pipeline in two threads, against PyTorch's DataLoader in two processes."""

import tempfile
from pathlib import Path

import numpy as np
from peers.pairs import Pair, Side
from PIL import Image

from genjax import data
from genjax.experiment import Data

WORKERS = 2


def pair(precision: str = "float32") -> Pair:
    """Small pictures, where what is not decoding weighs most."""
    return folder_pair("data", images=2000, stored=96, size=64, batch=64)


def photos(precision: str = "float32") -> Pair:
    """Pictures of the size that ImageNet's have; in small batches, so that those read ahead weigh little."""
    return folder_pair("photos", images=400, stored=500, size=256, batch=8)


def folder_pair(name: str, images: int, stored: int, size: int, batch: int) -> Pair:
    folder = tempfile.TemporaryDirectory()
    write_images(Path(folder.name), images, stored)
    shapes = (
        f"{images} JPEGs of {stored}x{stored} to {size}x{size}x3, batch {batch}, {WORKERS} workers, Pillow, float32"
    )
    return Pair(name, ours(folder, size, batch), theirs(folder, size, batch), batch, "images", shapes)


def write_images(folder: Path, images: int, side: int) -> None:
    """Smooth pictures with some noise, which take about the space of photographs of their size."""
    random = np.random.default_rng(0)
    for i in range(images):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
        pixels = (smooth + random.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05}.jpg", quality=90)


def ours(folder: tempfile.TemporaryDirectory, size: int, batch: int) -> Side:
    dataset = data.load(Data(path=folder.name, image_size=size, batch_size=batch, validation=0.01))
    batches = data.train_batches(dataset, batch, 0, workers=WORKERS)
    return Side("genjax", lambda count: [next(batches)["image"].shape for _ in range(count)])


class Folder:
    """What PyTorch users write: a data set of one decoded image each, cropped to a square as ours is."""

    def __init__(self, folder: tempfile.TemporaryDirectory, size: int):
        self.folder, self.size = folder, (size, size)  # the folder is deleted with this object
        self.files = sorted(Path(folder.name).iterdir())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int):
        import torch

        with Image.open(self.files[i]) as image:
            image.draft(None, self.size)
            pixels = np.asarray(image.convert("RGB").resize(self.size, Image.Resampling.BICUBIC))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def theirs(folder: tempfile.TemporaryDirectory, size: int, batch: int) -> Side:
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Folder(folder, size),
        batch,
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
