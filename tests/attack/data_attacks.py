"""Attacks on data: corpora, arrays, pictures, tables and texts."""

import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
from attack.attacks import Trial, attack, copied
from attack.damage import damage_bytes, damage_json, damage_value
from attack.place import TRAIN_TEXT, TRAIN_VAE

__all__: list[str] = []


@attack
def corpus(chance: random.Random, sound: Path, here: Path) -> Trial:
    folder = copied(sound / "corpus", here)
    file = chance.choice(sorted(folder.iterdir()))
    if file.suffix == ".json":
        damage_json(chance, file)
    else:
        file.write_bytes(damage_bytes(chance, file.read_bytes()))
    return Trial([*TRAIN_TEXT, "--data.path", folder, "--out", here / "run"])


@attack
def npz(chance: random.Random, sound: Path, here: Path) -> Trial:
    file = copied(sound / chance.choice(["image.npz", "tokens.npz", "latent.npz", "bomb.npz"]), here)
    if file.name == "bomb.npz" or chance.random() < 0.4:
        file.write_bytes(damage_bytes(chance, file.read_bytes()) if file.name != "bomb.npz" else file.read_bytes())
    else:
        with np.load(file) as archive:
            arrays = dict(archive)
        name = chance.choice(list(arrays))
        arrays[name] = _odd_array(chance, arrays[name])
        if chance.random() < 0.1:
            arrays[chance.choice(["test_image", "val_label", "index", "a/b", "\x1b[2J", "image_present", "y"])] = (
                arrays[name]
            )
        np.savez(file, **arrays)
    if chance.random() < 0.05:
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(chance.choice(["image.txt", "x.npy", "../x.npy", "label.npy"]), b"hello")
    kind = TRAIN_TEXT if file.name == "tokens.npz" else TRAIN_VAE
    return Trial([*kind, "--data.path", file, "--out", here / "run"])


def _odd_array(chance: random.Random, array: np.ndarray) -> np.ndarray:
    types = ["u1", "i8", "u8", "f2", "f4", "f8", ">f4", ">i4", "c8", "?", "S3", "U3", "M8[D]", "V4", "i1", "u2"]
    flat = array.copy().reshape(-1)
    kind = chance.choice(["type", "type", "value", "value", "shape", "less", "none", "scalar"])
    if kind == "type":
        with np.errstate(all="ignore"):
            new = chance.choice(types)
            return np.zeros(array.shape, new) if new in ("M8[D]", "V4") else array.astype(new)
    if kind == "value" and array.dtype.kind in "iuf":
        values = [-1, 2, 300, 1e-9, -1e-9] + ([np.nan, np.inf, 1e30] if array.dtype.kind == "f" else [])
        flat[chance.randrange(len(flat))] = chance.choice(values)
        return flat.reshape(array.shape)
    if kind == "shape":
        return chance.choice([flat, array[None], array[..., None], array.T, np.repeat(array[..., None], 4, -1)])
    return {"less": array[: len(array) // 2] if array.ndim else array, "none": array[:0] if array.ndim else array}.get(
        kind, np.asarray(flat[0])
    )


@attack
def picture(chance: random.Random, sound: Path, here: Path) -> Trial:
    folder = copied(sound / "pictures", here)
    file = chance.choice(sorted(file for file in folder.rglob("*") if file.is_file()))
    kind = chance.random()
    if kind < 0.7:
        file.write_bytes(damage_bytes(chance, file.read_bytes()))
    elif kind < 0.85:
        from PIL import Image

        size = chance.choice([(1, 60_000), (60_000, 1), (1, 1), (3, 900), (12_000, 12_000)])
        mode = chance.choice(["1", "L", "RGB", "RGBA", "I;16", "F", "P", "LA", "CMYK"])
        mode = "1" if size == (12_000, 12_000) else mode
        buffer = io.BytesIO()
        Image.new(mode, size).save(buffer, "TIFF" if mode in ("F", "CMYK") else "PNG")
        file.write_bytes(buffer.getvalue())
    else:
        file.rename(file.with_name(chance.choice([".hidden.png", "x", "x.txt", "\x1b[2J.png", "é.png", "a b.png"])))
    size = chance.choice([[], ["--data.image-size", "8"], ["--data.image-size", "64"]])
    return Trial(
        [*TRAIN_VAE, "--data.path", folder, *size, *chance.choice([[], ["--data.strict"]]), "--out", here / "run"]
    )


@attack
def table(chance: random.Random, sound: Path, here: Path) -> Trial:
    file = copied(sound / f"table.{chance.choice(['tsv', 'csv', 'jsonl'])}", here)
    if file.suffix == ".jsonl" and chance.random() < 0.6:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        row = chance.randrange(len(rows))
        rows[row] = damage_value(chance, rows[row])
        text = "".join(json.dumps(row) + "\n" for row in rows)
        file.write_text(text, errors="replace")
    else:
        file.write_bytes(damage_bytes(chance, file.read_bytes()))
    return Trial([*TRAIN_TEXT, "--data.path", file, "--out", here / "run"])


@attack
def text(chance: random.Random, sound: Path, here: Path) -> Trial:
    file = copied(sound / "text.txt", here)
    file.write_bytes(damage_bytes(chance, file.read_bytes()))
    kind = chance.choice(["byte", "char", "bpe:270"])
    if chance.random() < 0.5:
        return Trial(["corpus", file, "--out", here / "corpus", "--tokenizer", kind])
    return Trial([*TRAIN_TEXT, "--data.path", file, "--data.tokenizer", kind, "--out", here / "run"])
