"""Weak scaling by plan: the work of a chip stays, the slice grows from 16 to 512 chips. Nothing is run on a TPU.

    python benchmarks/pods.py                # the table and the plot of what plans.json holds: pods/
    python benchmarks/pods.py --plan         # plans what is missing before, minutes each

A step's bound is a roofline: the longest of compute, HBM and bytes sent, see PLANS.md.
"""

import argparse
import math
import re
from typing import NamedTuple

import plans

OUT = plans.HERE / "pods"


class Pod(NamedTuple):
    """A recipe, the slices of one kind of chip, and the examples of a chip in a step."""

    recipe: str
    slices: tuple[str, ...]
    batch: int
    option: str = "--data.batch-size"  # what the batch is told by
    each: int = 1  # what an example counts there


V5E, V5P = ("v5e:4x4", "v5e:8x8", "v5e:16x16"), ("v5p:2x2x4", "v5p:4x4x4", "v5p:4x8x8", "v5p:8x8x8")
PODS = (
    Pod("gpt_7b", V5P, 16),
    # On fewer chips than 128 each holds more of the weights, and by the plan of 128 it has no room for them.
    Pod("gpt3_175b", ("v5p:4x4x8", *V5P[2:]), 3),
    Pod("dit_xl2_imagenet256", V5E, 16),
    Pod("transformer_big_wmt16", V5E, 24, "--data.order.tokens", 256),
    Pod("stylegan2_ffhq256", V5E, 4),
)
COLUMNS = (
    *("recipe", "topology", "chips", "mesh", "batch", "memory of a chip", "TFLOP a chip", "HBM", "sent"),
    *("compute, HBM, sent (ms)", "bound by"),
)
TABLE = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"
OTHERS = (
    "dit_xl2_imagenet256@v5e:16x16 --data.batch-size 4096 --mesh.data 16 --mesh.fsdp 16",
    "gpt_7b@v5p:8x8x8 --data.batch-size 1024",
    "gpt_7b@v5p:8x8x8 --data.batch-size 1024 --mesh.data 8 --mesh.fsdp 64",
)
HEAD = f"""# Weak scaling, by plan

Made by `benchmarks/pods.py` from plans.json (`genjax plan --quick`; its limits stand in PLANS.md): the batch grows with
the chips. "Sent" is what a chip sends in a step. Times are bounds by roofline; nothing was run on a TPU.

{TABLE}"""
BELOW = f"""
## Other meshes

The width of DiT-XL/2, 1152, is no multiple of 256: over as many chips most of its weights are not split. Here they are
split over 16, with 16 copies. Where the batch of a GPT stays and the slice grows, bytes sent weigh more: as the recipe
splits the weights, and with each of them split over fewer chips.

{TABLE}"""


def chips(topology: str) -> int:
    return math.prod(int(side) for side in re.findall(r"\d+", topology.partition(":")[2]))


def missing(kept: dict[str, dict]) -> list[str]:
    """What plans.json lacks, as plans.py takes it."""
    growing = [
        f"{pod.recipe}@{slice} {pod.option} {pod.each * pod.batch * chips(slice)}"
        for pod in PODS
        for slice in pod.slices
        if of(kept, pod, slice) is None
    ]
    return growing + [argument for argument in OTHERS if argument not in kept]


def of(kept: dict[str, dict], pod: Pod, slice: str) -> dict | None:
    """The plan on the recipe's own mesh, whether the recipe or an option gives the batch."""
    wanted = (pod.recipe, slice, pod.batch * chips(slice))
    for name, plan in kept.items():
        if "--mesh" not in name and (plan["recipe"], plan["topology"], plan["batch_size"]) == wanted:
            return plan
    return None


def row(plan: dict) -> str:
    times, total = plan["roofline_ms"], plan["memory_bytes"]["total"]
    counted = ["-"] * 5  # of what does not fit XLA counts nothing
    if times:
        counted = [
            f"{plan['flops_per_device'] / 1e12:.3g}",
            f"{plan['bytes_accessed_per_device'] / 1e9:.3g} GB",
            f"{plan['collective_bytes_per_device'] / 1e9:.3g} GB",
            ", ".join(f"{times[name]:.3g}" for name in ("compute", "hbm", "collectives")),
            max(times, key=times.get),
        ]
    cells = [
        f"`{plan['recipe']}`",
        plan["topology"],
        str(plan["num_devices"]),
        " x ".join(map(str, plan["mesh"].values())),
        f"{plan['batch_size']:,}",
        f"{total / 2**30:.1f} GiB of {plan['hbm_bytes'] / 2**30:.0f}" + ("" if plan["fits"] else ": does not fit"),
        *counted,
    ]
    return "| " + " | ".join(cells) + " |"


def plot(grown: dict[str, list[dict]]) -> None:
    """A panel for each recipe: the three rooflines of a step against the chips."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        1, len(grown), figsize=(3.2 * len(grown), 3.2), layout="constrained", squeeze=False, sharex=True
    )
    names = {"compute": "compute", "hbm": "HBM", "collectives": "bytes sent"}
    for panel, (recipe, found) in zip(panels.flat, grown.items()):
        found = [plan for plan in found if plan["roofline_ms"]]
        sizes = [plan["num_devices"] for plan in found]
        for name, label in names.items():
            panel.loglog(sizes, [plan["roofline_ms"][name] for plan in found], marker="o", label=label)
        panel.set_title(f"{recipe}\n{found[0]['topology'].partition(':')[0]}", fontsize=9)
        panel.set_xticks([16, 32, 64, 128, 256, 512], [16, 32, 64, 128, 256, 512], fontsize=8)
        panel.minorticks_off()
        panel.set_xlabel("chips", fontsize=8)
    panels.flat[0].set_ylabel("ms a step, at least")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle("Weak scaling by plan: the work of a chip stays, the slice grows")
    figure.savefig(OUT / "pods.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="plan what plans.json lacks")
    args = parser.parse_args()
    kept = plans.add(missing(plans.kept())) if args.plan else plans.kept()
    grown = {pod.recipe: [plan for slice in pod.slices if (plan := of(kept, pod, slice))] for pod in PODS}
    grown = {recipe: found for recipe, found in grown.items() if found}
    others = [kept[argument] for argument in OTHERS if argument in kept]
    OUT.mkdir(exist_ok=True)
    table = HEAD + "\n".join(row(plan) for found in grown.values() for plan in found) + "\n"
    (OUT / "pods.md").write_text(table + BELOW + "\n".join(map(row, others)) + "\n")
    plot(grown)


if __name__ == "__main__":
    main()
