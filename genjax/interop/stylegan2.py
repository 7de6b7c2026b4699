"""NVIDIA's weights of StyleGAN2 (of the repository stylegan2-ada-pytorch) as parameters of `StyleGAN2`.

They are published as pickles, which run code and which genjax never loads. In NVIDIA's repository, with PyTorch and
safetensors, this writes what `from_nvidia` takes:

    import dnnlib, legacy
    from safetensors.torch import save_file

    with dnnlib.util.open_url("ffhq.pkl") as file:
        networks = legacy.load_network_pkl(file)
    parts = {"generator": networks["G_ema"], "discriminator": networks["D"]}
    named = {f"{part}.{name}": x for part, module in parts.items() for name, x in module.state_dict().items()}
    save_file({name: x.float().contiguous() for name, x in named.items()}, "ffhq.safetensors")
"""

from collections.abc import Mapping

import numpy as np

from genjax.errors import UserError

__all__ = ["from_nvidia"]

Tree = dict[str, dict | np.ndarray]


def from_nvidia(tensors: Mapping[str, np.ndarray]) -> tuple[Tree, Tree]:
    """(params, state) of a StyleGAN2 with the same networks, float32; without "discriminator" where it is not there.

    Noise inputs are drawn for each image: the constant ones of the files are left out. NVIDIA's discriminator takes
    its groups of images at equal distances in the batch, genjax neighbours.

    Args:
      tensors: name -> array; "generator.mapping.fc0.weight", "discriminator.b4.conv.weight".

    Raises:
      UserError: a tensor is missing.
    """

    def get(name: str) -> np.ndarray:
        if name not in tensors:
            raise UserError(f"StyleGAN2's weights lack the tensor '{name}': are they NVIDIA's, of `state_dict`?")
        return np.asarray(tensors[name], np.float32)

    def has(name: str) -> bool:
        return any(known.startswith(f"{name}.") for known in tensors)

    def dense(name: str) -> Tree:
        return {"kernel": get(f"{name}.weight").T, "bias": get(f"{name}.bias")}

    def kernel(name: str) -> Tree:
        return {"kernel": get(f"{name}.weight").transpose(2, 3, 1, 0)}

    def conv(name: str) -> Tree:
        return {**kernel(name), "bias": get(f"{name}.bias")}

    def modulated(name: str) -> Tree:
        return {**kernel(name), "affine": dense(f"{name}.affine")}

    def mapping(name: str) -> Tree:
        layers = {n.split(".")[len(name.split("."))] for n in tensors if n.startswith(f"{name}.fc")}
        tree = {f"dense_{layer.removeprefix('fc')}": dense(f"{name}.{layer}") for layer in layers}
        return tree | ({"embed": dense(f"{name}.embed")} if has(f"{name}.embed") else {})

    def sides(name: str) -> list[int]:
        depth = name.count(".") + 1
        found = {n.split(".")[depth] for n in tensors if n.startswith(f"{name}.b")}
        return sorted(int(block[1:]) for block in found)

    def synthesis(name: str) -> Tree:
        tree, number = {"start": get(f"{name}.b4.const").transpose(1, 2, 0)}, 0
        for i, side in enumerate(sides(name)):
            for layer in ("conv0", "conv1")[i == 0 :]:
                at = f"{name}.b{side}.{layer}"
                tree[f"conv_{number}"] = {"modulated": modulated(at), "bias": get(f"{at}.bias")}
                if f"{at}.noise_strength" in tensors:
                    tree[f"conv_{number}"]["noise"] = get(f"{at}.noise_strength")
                number += 1
            if has(at := f"{name}.b{side}.torgb"):
                tree |= {f"image_{i}": modulated(at), f"image_bias_{i}": get(f"{at}.bias")}
            if has(at := f"{name}.b{side}.skip"):
                tree[f"skip_{i}"] = kernel(at)
        return tree

    def discriminator(name: str) -> Tree:
        tree = {"conv": conv(f"{name}.b4.conv"), "logit": dense(f"{name}.b4.out"), "dense": dense(f"{name}.b4.fc")}
        width = len(tree["dense"]["bias"])  # rows of the matrix are (channel, y, x) there, (y, x, channel) here
        by_position = tree["dense"]["kernel"].reshape(-1, 4, 4, width).transpose(1, 2, 0, 3)
        tree["dense"]["kernel"] = by_position.reshape(-1, width)
        for side in sides(name):
            block = f"{name}.b{side}"
            parts = {"fromrgb": "image", "conv0": "conv", "conv1": "down"}
            tree |= {
                f"{ours}_{side}": conv(f"{block}.{part}") for part, ours in parts.items() if has(f"{block}.{part}")
            }
            if has(f"{block}.skip"):
                tree[f"skip_{side}"] = kernel(f"{block}.skip")
        return tree | ({"label": mapping(f"{name}.mapping")} if has(f"{name}.mapping") else {})

    params = {"mapping": mapping("generator.mapping"), "synthesis": synthesis("generator.synthesis")}
    if has("discriminator"):
        params["discriminator"] = discriminator("discriminator")
    average = get("generator.mapping.w_avg")
    return params, {"path": {"mean": np.zeros((), np.float32)}, "style": {"average": average}}
