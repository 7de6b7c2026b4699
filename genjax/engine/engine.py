"""The pure functions of a run, compiled for the devices at hand: jit over a mesh, or pmap over replicas."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from genjax.engine import state as states
from genjax.engine.form import require_samples
from genjax.engine.state import TrainState
from genjax.engine.step import EVAL, INIT, SAMPLE, run_key, train_step, train_steps
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment
from genjax.memory import available, require_room
from genjax.models.base import SampleOptions, Term
from genjax.nn.sharding import REPLICA
from genjax.orders import Shape
from genjax.runtime import compilation
from genjax.runtime import mesh as meshes
from genjax.spec import DataSpec

__all__ = ["Engine"]

Tree = Any


class Engine:
    """Compiled `init`, `step`, `evaluate` and `sample` of a resolved experiment on a mesh.

    Attributes:
      mesh: the devices as data x fsdp x tensor.
      abstract_state: shapes, dtypes and shardings of the train state.
    """

    def __init__(self, experiment: Experiment, spec: DataSpec, devices=None):
        """Raises UserError where the mesh, the backend or the batch do not fit the devices."""
        self.experiment, self.spec = experiment, spec
        self.mesh = meshes.make_mesh(experiment.mesh, devices)
        platform = self.mesh.devices.flat[0].platform
        self.platform = {"cuda": "gpu", "rocm": "gpu"}.get(platform, platform)
        self.model = experiment.model.on(self.platform)
        self.pmap = experiment.train.backend == "pmap"
        self.unroll = True if self.platform == "cpu" else 1  # loops around convolutions are slow on CPU
        _check_backend(experiment, self.mesh)
        size = experiment.data.batch_size
        self._require_division(size, f"--data.batch-size {size} does", "take a multiple of ")

        self._create = functools.partial(states.create, self.model, experiment, spec)
        shapes = jax.eval_shape(self._create, run_key(0, INIT))
        self.shardings = meshes.tree_shardings(shapes, self.model.rules, self.mesh)
        if self.pmap:  # it names its devices otherwise: a state that is placed as it leaves the step compiles once
            self._replicas = meshes.replica_mesh(self.mesh)
            whole = jax.sharding.NamedSharding(self._replicas, jax.sharding.PartitionSpec())
            self.shardings = jax.tree.map(lambda _: whole, shapes)
        self.abstract_state = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, self.shardings
        )
        self.batch_sharding = meshes.batch_sharding(self.mesh)
        self._local_devices = sum(d.process_index == jax.process_index() for d in self.mesh.devices.flat)
        self._steps: dict[tuple[str, ...], Callable] = {}
        self._replicated = jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec())

    def init(self) -> TrainState:
        """The state before the first step, created where it lives: no device ever holds more than its shard.

        Raises UserError as `require_room`.
        """
        self.require_room()
        # Compiling this for CPU takes LLVM ten times longer than running it unoptimized.
        options = {"xla_backend_optimization_level": 0} if self.platform == "cpu" else None
        create = jax.jit(self._create, out_shardings=self.shardings, compiler_options=options)
        with self._in_mesh():
            return create(run_key(self.experiment.train.seed, INIT))

    def require_room(self) -> None:
        """Raises UserError where the state and one batch do not fit into the memory of this process's devices."""
        shards = [(x.sharding.shard_shape(x.shape), x.dtype) for x in jax.tree.leaves(self.abstract_state)]
        rows = -(-self.experiment.data.batch_size // meshes.batch_parts(self.mesh))
        shards += [((rows, *values.shape), np.dtype(values.dtype)) for values in self.spec.arrays().values()]
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in shards)
        if self.platform == "cpu":  # its devices share the memory of the host
            size, there = size * self._local_devices, available()
        else:
            device = next(d for d in self.mesh.devices.flat if d.process_index == jax.process_index())
            there = (device.memory_stats() or {}).get("bytes_limit", size)
        cure = "make the model, its data or --data.batch-size smaller, or take more --mesh.fsdp"
        require_room(size, "the state of the model and a batch", cure, there)

    def require_shapes(self, shapes: Iterable[Shape]) -> None:
        """Raises UserError where a batch that the order makes does not divide into devices and micro-batches."""
        for rows, _ in shapes:
            self._require_division(rows, f"the order makes batches of {rows} rows, which do", "--data.order.multiple ")

    def _require_division(self, rows: int, which: str, cure: str) -> None:
        parts, accumulation = meshes.batch_parts(self.mesh), self.experiment.train.grad_accumulation
        if rows % (parts * accumulation):
            raise UserError(
                f"{which} not divide into {parts} device{'s' * (parts != 1)} x {accumulation} "
                f"micro-batch{'es' * (accumulation != 1)}: {cure}{parts * accumulation}"
            )

    def rows(self, batch_size: int) -> slice:
        """The rows of a global batch that this process prepares."""
        return meshes.process_rows(self.batch_sharding, batch_size)

    def put(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """This process's rows -> the batch that `step` takes, on the devices."""
        if not self.pmap:
            return self.put_global(batch)
        parts = {name: rows.reshape(self._local_devices, -1, *rows.shape[1:]) for name, rows in batch.items()}
        if jax.process_count() > 1:
            return parts  # each process hands pmap its own rows
        return jax.device_put(parts, jax.sharding.NamedSharding(self._replicas, jax.sharding.PartitionSpec(REPLICA)))

    def jit(self, function: Callable, **arguments) -> Callable:
        """`jax.jit` with the compiler's options for this platform."""
        return jax.jit(function, compiler_options=compilation.options(self.platform), **arguments)

    def _in_mesh(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if self.pmap else jax.set_mesh(self.mesh)

    def put_global(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """This process's rows -> global arrays over the mesh, for programs of `jit`."""
        return meshes.put(batch, self.batch_sharding)

    def step(
        self, state: TrainState, batches: Sequence[dict], dues: Sequence[tuple[str, ...]]
    ) -> tuple[TrainState, list[dict[str, jax.Array]]]:
        """One call of one compiled program, as many train steps as there are batches; `state` is donated.

        Args:
          batches: as `put` made them, one a step.
          dues: the turns to play at each of these steps.

        Returns:
          The state after the last of them, and the metrics of each.

        Raises:
          UsageError: a model's state differs from replica to replica of pmap.
        """
        dues = tuple(dues)
        new = dues not in self._steps
        if new:
            self._steps[dues] = self.compile_steps(dues)
        with self._in_mesh():
            state, metrics = self._steps[dues](state, tuple(batches))
        if new and self.pmap:
            _require_alike(state.model_state)
        return state, metrics

    def compile_steps(self, dues: tuple[tuple[str, ...], ...]) -> Callable:
        """(state, batches) -> (state, list of metrics), to be compiled at its first call or lowered."""
        one = functools.partial(train_step, self.model, self.experiment, unroll=self.unroll)
        function = functools.partial(train_steps, one, dues, unroll=self.unroll)
        if self.pmap:
            # in_axes and out_axes None: the state is replicated and keeps the shapes that jit gives it
            devices = list(self.mesh.devices.flat)
            return jax.pmap(
                function, axis_name=REPLICA, in_axes=(None, 0), out_axes=None, donate_argnums=0, devices=devices
            )
        return self.jit(
            function,
            donate_argnums=0,
            in_shardings=(self.shardings, self.batch_sharding),
            out_shardings=(self.shardings, self._replicated),
        )

    @functools.cached_property
    def _evaluate(self) -> Callable:
        def evaluate(state: TrainState, batch: dict) -> tuple[dict[str, Term], Tree]:
            key = jax.random.fold_in(run_key(self.experiment.train.seed, EVAL), batch["offset"])
            batch = {**batch, "row": batch["offset"] + batch["index"]}
            del batch["offset"]
            return self.model.follow(*states.averaged(state), batch, key)

        return self.jit(evaluate, out_shardings=self._replicated)

    def evaluate(self, state: TrainState, batch: dict[str, np.ndarray], offset: int) -> dict[str, Term]:
        """The model's metrics over one batch, whose first row is example `offset` of its split."""
        return self.follow(state, batch, offset)[0]

    def follow(
        self, state: TrainState, batch: dict[str, np.ndarray], offset: int
    ) -> tuple[dict[str, Term], TrainState]:
        """`evaluate`, and the state for the batch after this one."""
        with jax.set_mesh(self.mesh):
            metrics, carried = self._evaluate(state, self.put_global(batch) | {"offset": np.int32(offset)})
        return jax.device_get(metrics), state.replace(model_state={**state.model_state, **carried})

    @functools.cached_property
    def _sample(self) -> Callable:
        def sample(
            state: TrainState, conditions: dict, seed: jax.Array, options: SampleOptions, only: frozenset | None
        ) -> dict:
            made = self.model.sample(*states.averaged(state), run_key(seed, SAMPLE), conditions, options)
            return made if only is None else {name: array for name, array in made.items() if name in only}

        return self.jit(sample, static_argnums=(3, 4), out_shardings=self._replicated)

    def sample_shapes(
        self, state: TrainState, conditions: dict[str, np.ndarray], seed: int, options: SampleOptions
    ) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of what `sample` returns; nothing is computed. Raises UsageError as `require_samples`."""
        with jax.set_mesh(self.mesh):
            shapes = self._sample.eval_shape(state, conditions, np.uint32(seed), options, None)
        fields, system = self.model.outputs(self.spec), type(self.model).__name__
        require_samples(system, shapes, fields, len(conditions["index"]))
        return shapes

    def sample(
        self,
        state: TrainState,
        conditions: dict[str, np.ndarray],
        seed: int,
        options: SampleOptions,
        only: frozenset[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """One sample for each row of `conditions`; the same on every process.

        `only` names the arrays that are wanted (None = all); what they do not take is not computed.
        """
        with jax.set_mesh(self.mesh):
            return jax.device_get(self._sample(state, conditions, np.uint32(seed), options, only))


def _require_alike(model_state: Tree) -> None:
    """Of replicas that differ, pmap would give the first one's state for that of all."""
    for path, x in jax.tree_util.tree_leaves_with_path(model_state):
        first, *others = (np.asarray(shard.data) for shard in x.addressable_shards)
        if not all(np.array_equal(first, other, equal_nan=first.dtype.kind == "f") for other in others):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UsageError(
                f"--train.backend pmap: the model's state {name} differs from replica to replica: let LossOutput.sums "
                "or rows carry it to Model.update, or take the jit backend"
            )


def _check_backend(experiment: Experiment, mesh: jax.sharding.Mesh) -> None:
    if experiment.train.backend == "pmap" and mesh.shape["fsdp"] * mesh.shape["tensor"] > 1:
        raise UserError(
            f"the pmap backend only replicates: mesh fsdp {mesh.shape['fsdp']}, tensor {mesh.shape['tensor']} "
            "need --train.backend jit"
        )
