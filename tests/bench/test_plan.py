"""The capacity plan: its arithmetic without libtpu, and whole plans with it."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import pytest
import systems
from jax.sharding import NamedSharding, PartitionSpec

from genjax import cli
from genjax.bench import hlo, plan
from genjax.bench.spec import longest_rows, spec_without_data
from genjax.bench.topology import topology_devices
from genjax.engine.engine import Engine
from genjax.errors import UsageError, UserError
from genjax.experiment import Data, Experiment, Mesh, Optim, Train
from genjax.models import GAN, GPT, VAE, DenseAutoencoder, Translation
from genjax.orders import Buckets
from genjax.recipes import load_experiment
from genjax.runs.check import resolve
from genjax.runtime import devices
from genjax.spec import DataSpec, Image, Tokens


@functools.cache
def without_libtpu() -> str:
    try:
        topology_devices("v5e:2x4")
    except UserError as error:
        return str(error)
    return ""


def needs_libtpu():
    if reason := without_libtpu():
        pytest.skip(reason)


def compiled_text(function, in_spec, out_spec, shape):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    shardings = [NamedSharding(mesh, spec) for spec in (in_spec, out_spec)]
    argument = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=shardings[0])
    return jax.jit(function, out_shardings=shardings[1]).lower(argument).compile().as_text()


def test_all_gather_sends_all_but_its_own_part():
    text = compiled_text(lambda x: x + 1, PartitionSpec("x"), PartitionSpec(), (64, 32))
    assert hlo.collective_bytes(text, 8) == 64 * 32 * 4 * 7 / 8


def test_all_reduce_sends_twice():
    text = compiled_text(lambda x: x.sum(0), PartitionSpec("x"), PartitionSpec(), (64, 32))
    assert hlo.collective_bytes(text, 8) == 2 * 32 * 4 * 7 / 8


@pytest.mark.parametrize(
    "line, sent",
    [
        ("%a = bf16[8,16]{1,0} reduce-scatter(%x), replica_groups=[2,4]<=[8], to_apply=%add", 3 * 8 * 16 * 2),
        ("%a = (f32[8]{0}, f32[64]{0}) all-gather-start(%x), replica_groups={{0,1},{2,3}}", 64 * 4 / 2),
        ("%a = f32[64]{0} all-gather-done(%b)", 0),
        ("%a = (f32[4]{0:T(128)S(1)}, f32[]{:T(128)}) all-reduce(%x, %y), replica_groups={}", 2 * 20 * 7 / 8),
        ("%a = f32[6]{0} all-reduce(%x), replica_groups=mesh['a'=2,'b'=4] {'a'}, to_apply=%s", 24),
        ("%a = (f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%x), source_target_pairs={}", 32),
        ("%a = f32[64]{0} all-gather(%x), replica_groups={{0},{1}}, dimensions={0}", 0),
        ("%all-reduce.1 = f32[64]{0} fusion(%all-gather), kind=kLoop", 0),
    ],
)
def test_bytes_of_one_instruction(line, sent):
    assert hlo.collective_bytes(line, 8) == sent


def test_roofline_takes_each_part_by_its_own_rate():
    chip = devices.Device(flops=100.0, hbm_bytes=1, hbm_bandwidth=10.0, ici_bandwidth=2.0)
    times = plan.roofline(plan.Cost(flops=200.0, bytes_accessed=50.0, collective_bytes=6.0), chip)
    assert times == {"compute": 2.0, "hbm": 5.0, "collectives": 3.0}


def tiny_gpt(layers=4, remat="none", **train) -> Experiment:
    return Experiment(
        model=GPT(layers=layers, heads=2, width=64, context=32, vocabulary=128, remat=remat),
        data=Data(source="pydoc", context=32, batch_size=16),
        train=Train(**train),
        mesh=Mesh(data=1, fsdp=8),
    )


@pytest.mark.parametrize(
    ("recipe", "lacking"),
    [
        ("movies", "--model.vocabulary and --model.context and --model.classes"),
        ("translate_en_de", "--model.vocabulary and --model.context"),
    ],
)
def test_what_only_the_data_could_tell_is_asked_for(recipe, lacking):
    with pytest.raises(UserError, match=f"without the data, give {lacking}$"):
        spec_without_data(load_experiment(recipe))
    assert spec_without_data(load_experiment("imdb")).fields["label"].classes == 2


def measured(experiment: Experiment) -> plan.Cost:
    engine = Engine(experiment, spec_without_data(experiment), jax.devices())
    compiled, _ = plan.compile_step(engine)
    cost = compiled.cost_analysis()
    return plan.Cost(cost["flops"], cost["bytes accessed"], hlo.collective_bytes(compiled.as_text(), 8))


@pytest.mark.parametrize("remat", ["none", "full"])
def test_extrapolation_is_the_truth_of_the_unrolled_model(remat):
    experiment = tiny_gpt(remat=remat)
    experiment = resolve(experiment, spec_without_data(experiment))
    truth = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, unroll=4))
    assert plan.extrapolate(measured, experiment) == pytest.approx(measured(truth), rel=0.05)


def test_micro_batches_are_counted_each():
    one = tiny_gpt(layers=1)
    one = resolve(one, spec_without_data(one))
    two = dataclasses.replace(one, train=Train(grad_accumulation=2))
    spec = spec_without_data(one)
    whole, halves = (plan.count(e, spec, jax.devices()) for e in (one, two))
    assert halves.flops == pytest.approx(whole.flops, rel=0.1)  # the same products, the optimizer twice
    assert halves.collective_bytes > 1.5 * whole.collective_bytes  # weights are gathered for each micro-batch


def test_spec_of_a_recipe_without_its_data():
    spec = spec_without_data(load_experiment("gpt2_124m"))
    assert spec.fields == {"tokens": Tokens((1024,), 50257, shifted=True)}
    spec = spec_without_data(load_experiment("dcgan_celeba64"))
    assert spec.fields["image"] == Image(64, 64, 3)
    spec = spec_without_data(load_experiment("gan_digits"))
    assert (spec.fields["image"], spec.fields["label"].classes) == (Image(8, 8, 1), 10)
    bpe = Experiment(GPT(), Data(path="nowhere.txt", tokenizer="bpe:1000", context=32))
    assert spec_without_data(bpe).fields["tokens"].vocabulary == 1000


def test_missing_data_names_the_fields_to_give():
    with pytest.raises(UserError, match=r"--model\.vocabulary"):
        spec_without_data(Experiment(GPT(), Data(path="nowhere.txt", tokenizer="char")))
    with pytest.raises(UserError, match=r"--model\.image-shape"):
        spec_without_data(Experiment(GAN(), Data(path="nowhere.npz")))


def test_numbers_of_an_exhausted_memory():
    message = """RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm.
Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.

Total hbm usage >= 20.76G:
    reserved        258.00M
    program          15.00G
    arguments         5.50G

Output size 5.50G; shares 5.25G with arguments."""
    giga = 2**30
    assert plan.exhausted_bytes(message) == {
        "arguments": round(5.5 * giga),
        "temporaries": 15 * giga,
        "output": round(5.5 * giga),
        "alias": round(5.25 * giga),
        "total": round(20.76 * giga),
    }


def test_fsdp_divides_parameters_and_optimizer_by_its_size():
    def arguments(fsdp: int) -> int:
        experiment = Experiment(
            model=GPT(layers=2, heads=4, width=512, context=64, vocabulary=4096),
            data=Data(source="pydoc", context=64, batch_size=8),
            optim=Optim(name="adamw", weight_decay=0.1),
            mesh=Mesh(data=1, fsdp=fsdp),
        )
        spec = spec_without_data(experiment)
        engine = Engine(resolve(experiment, spec), spec, jax.devices()[:fsdp])
        return plan.memory_bytes(plan.compile_step(engine)[0])["arguments"]

    assert arguments(8) == pytest.approx(arguments(1) / 8, rel=0.1)


@pytest.mark.parametrize("topology", ["v5e", "v5e:4by4", "bogus:2x2", ""])
def test_unknown_topology(topology):
    needs_libtpu() if topology == "bogus:2x2" else None
    with pytest.raises(UsageError, match="v5e:4x4"):
        plan.plan("vae_digits", load_experiment("vae_digits"), topology)


def test_pmap_is_refused():
    experiment = dataclasses.replace(systems.TINY["vae"], train=Train(backend="pmap"))
    with pytest.raises(UsageError, match="jit"):
        plan.plan("tiny", experiment, "v5e:2x4")


@pytest.mark.parametrize("hbm", [2**10, 2**40])
def test_what_compiles_and_is_larger_than_the_memory_does_not_fit(monkeypatch, hbm):
    monkeypatch.setattr(plan, "topology_devices", lambda topology: jax.devices())
    monkeypatch.setattr(devices, "find", lambda kind: devices.Device(1e12, hbm, 1e9, 1e9))
    result = plan.plan("vae", systems.TINY["vae"], "v5e:2x4", quick=True)
    assert result["fits"] == (result["memory_bytes"]["total"] < hbm) == (hbm > 2**10)
    assert result["flops_per_device"] > 0


FIELDS = {
    "recipe", "topology", "device_kind", "num_devices", "mesh", "fits", "memory_bytes", "hbm_bytes", "flops_per_device",
    "bytes_accessed_per_device", "collective_bytes_per_device", "compile_seconds", "estimated_step_ms", "estimated_mfu",
}  # fmt: skip


@pytest.mark.tpu_aot
def test_plan_of_a_small_gpt(tmp_path):
    needs_libtpu()
    file = tmp_path / "plan.json"
    shrink = "--model.layers 3 --model.width 256 --model.heads 2 --data.context 128 --data.batch-size 16"
    cli.run(["plan", "gpt_pydoc", "--topology", "v5e:2x4", "--json", str(file), *shrink.split(), "--mesh.fsdp", "8"])
    result = json.loads(file.read_text())
    memory = result["memory_bytes"]
    assert result.keys() >= FIELDS and result["fits"] and result["num_devices"] == 8
    assert memory["total"] == memory["arguments"] + memory["temporaries"] + memory["output"] - memory["alias"]
    assert result["flops_per_device"] * 8 > 0.9 * result["model_flops_per_step"]
    assert result["collective_bytes_per_device"] > 0 and 0 < result["estimated_mfu"] < 1


@pytest.mark.tpu_aot
@pytest.mark.parametrize(
    "name", ["diffusion-unet", "diffusion-dit", "latent-diffusion", "infogan", "vaegan", "vqvae", "dalle"]
)
def test_plan_of_systems(name):
    needs_libtpu()
    experiment = dataclasses.replace(systems.TINY[name], mesh=Mesh(data=4, fsdp=2))
    result = plan.plan(name, experiment, "v5e:2x4", quick=True)
    assert result["fits"] and result["num_devices"] == 8
    # XLA's count of everything is at least the products' that each device needs.
    assert result["flops_per_device"] * 8 > 0.9 * result["model_flops_per_step"]
    assert result["estimated_step_ms"] > 0


@pytest.mark.tpu_aot
def test_a_quick_plan_counts_the_same():
    needs_libtpu()
    whole, quick = (plan.plan("gan", systems.TINY["gan"], "v5e:2x4", quick=quick) for quick in (False, True))
    assert whole["fits"] and quick["fits"]
    for name in ("flops_per_device", "bytes_accessed_per_device", "collective_bytes_per_device"):
        assert whole[name] == quick[name] > 0


@pytest.mark.tpu_aot
def test_products_of_gathered_weights_are_counted_whole():
    needs_libtpu()
    experiment = load_experiment("dit_xl2_imagenet256")  # so wide that XLA multiplies in pieces while it gathers
    model = experiment.model.with_stack(layers=1)
    experiment = dataclasses.replace(experiment, model=model, mesh=Mesh(data=1, fsdp=8))
    result = plan.plan("dit", experiment, "v5e:2x4", quick=True)
    assert 0.9 < 8 * result["flops_per_device"] / result["model_flops_per_step"] < 1.2


@pytest.mark.tpu_aot
def test_a_model_too_large_does_not_fit():
    needs_libtpu()
    model = VAE(network=DenseAutoencoder(widths=(60_000, 60_000)), latent=4)
    result = plan.plan("large", dataclasses.replace(load_experiment("vae_digits"), model=model), "v5e:2x2")
    assert not result["fits"] and result["memory_bytes"]["total"] > result["hbm_bytes"]
    assert result["estimated_step_ms"] is None and "hbm" in result["message"].lower()


@pytest.mark.tpu_aot
def test_mesh_and_batch_that_do_not_fit_the_topology():
    needs_libtpu()
    experiment = systems.TINY["vae"]
    with pytest.raises(UserError, match="mesh"):
        plan.plan("tiny", dataclasses.replace(experiment, mesh=Mesh(fsdp=3)), "v5e:2x4")
    with pytest.raises(UserError, match="batch-size"):
        plan.plan("tiny", dataclasses.replace(experiment, data=Data(batch_size=12)), "v5e:2x4")


def test_texts_in_buckets_are_planned_in_the_largest_batch():
    spec = DataSpec({name: Tokens((256,), 32, ragged=True, end=0) for name in ("source", "target")})
    experiment = Experiment(
        model=Translation(layers=1, heads=1, width=8),
        data=Data(order=Buckets(bounds=(16, 256), tokens=25000), batch_size=64),
    )
    assert longest_rows(experiment, spec).data.batch_size == 96  # 25000 / 256, a multiple of 8
    plain = dataclasses.replace(experiment, data=Data(batch_size=64))
    assert longest_rows(plain, spec) == plain
