"""Endless batches that follow from the step number alone, so that a resumed run sees exactly what it would have seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from recon.synthesis.sample import FaceBatch
from recon.training.augment import Augmentation, augment
from recon.training.batch import TrainingBatch


@runtime_checkable
class Sampler(Protocol):
    """What renders synthetic faces, see :class:`recon.synthesis.FaceSampler`."""

    def batch(self, indices: list[int]) -> FaceBatch:
        """The samples with these indices."""
        ...


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Which samples of a data set of fixed length make which batch.

    Attributes:
        batch_size: samples a step and process.
        seed: of the order, and of augmentation.

    Raises:
        ValueError: no sample in a batch.
    """

    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"a batch holds at least one sample, got batch_size {self.batch_size}; give 1 or more")


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """Which synthetic pictures make which batch.

    Attributes:
        batch_size: pictures a step and process.
        replay: how often a synthetic picture is used, on average. Rendering costs more than a step of a small network, so on a CPU
            each picture is shown several times, every time framed and lit anew; 1 shows each once.
        window: how many of the last pictures are kept for that, a process and worker. Only used with replay.
        seed: of the faces, of the choice of pictures and of augmentation.

    Raises:
        ValueError: batches that cannot be made of whole pictures, or a window smaller than a batch.
    """

    batch_size: int = 32
    replay: int = 1
    window: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.replay < 1 or self.batch_size % self.replay:
            raise ValueError(
                f"the batch size must be a positive multiple of replay, got {self.batch_size} and {self.replay}; change "
                "batch_size or replay"
            )
        if self.replay > 1 and self.window < self.batch_size:
            raise ValueError(
                f"the window of replayed pictures ({self.window}) is smaller than a batch ({self.batch_size}); enlarge window"
            )

    @property
    def fresh(self) -> int:
        """New pictures a step."""
        return self.batch_size // self.replay

    def fresh_indices(self, step: int, place: StreamPlace) -> list[int]:
        """Samples rendered for a step: all processes and steps have their own."""
        first = (step * place.world + place.rank) * self.fresh
        return list(range(first, first + self.fresh))

    def replayed_steps(self, step: int, stride: int) -> list[int]:
        """The steps, oldest first, whose pictures the window holds at a step; a worker sees every ``stride``-th step."""
        kept = max(1, self.window // self.fresh)
        return [s for s in range(step - (kept - 1) * stride, step + 1, stride) if s >= 0]


@dataclasses.dataclass(frozen=True)
class StreamPlace:
    """Where in a stream a process goes on.

    Attributes:
        step: the first that is made.
        rank: of this process among those that train together.
        world: how many these are.

    Raises:
        ValueError: a place that no process has.
    """

    step: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.step < 0 or not 0 <= self.rank < self.world:
            raise ValueError(
                f"a stream goes on at step 0 or later, in a process of rank 0 to world - 1; got step {self.step}, rank {self.rank} "
                f"and world {self.world}"
            )

    @classmethod
    def of_trainer(cls, trainer: Any) -> StreamPlace:
        """Where the module of a trainer goes on, in this process; without a trainer the beginning."""
        if trainer is None:
            return cls()
        step = int(getattr(trainer.lightning_module, "batches_seen", 0))
        return cls(step, trainer.global_rank, trainer.world_size)


class SyntheticStream(IterableDataset[TrainingBatch]):
    """Batches of synthetic faces from a step on, for ever.

    With several workers, worker k makes steps k, k + n, ...; torch's loader takes turns, so the order is that of steps.
    With replay each worker has a window of its own, so the batches depend on the number of workers.

    Args:
        make_sampler: called once in each worker.
        plan: which samples make which batch.
        place: of the first step, and of this process.
        augmentation: of every batch; ``None`` leaves pictures as they are.
        maps: also give masks, depth and normals.
    """

    def __init__(
        self,
        make_sampler: Callable[[], Sampler],
        plan: StreamPlan,
        place: StreamPlace | None = None,
        augmentation: Augmentation | None = None,
        maps: bool = True,
    ) -> None:
        super().__init__()
        self.make_sampler, self.plan, self.place = make_sampler, plan, place or StreamPlace()
        self.augmentation, self.maps = augmentation, maps

    def __iter__(self) -> Iterator[TrainingBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        sampler = self.make_sampler()
        plan = self.plan
        step = self.place.step + first
        if plan.replay == 1:
            while True:
                yield self._augmented(self._synthesized(sampler, step), step)
                step += stride
        # What an uninterrupted run would have in its window by now.
        window = [_packed(self._synthesized(sampler, s)) for s in plan.replayed_steps(step - stride, stride)]
        kept = max(1, plan.window // plan.fresh)
        while True:
            window = [*window, _packed(self._synthesized(sampler, step))][-kept:]
            yield self._augmented(self._mixed(window, step), step)
            step += stride

    def _synthesized(self, sampler: Sampler, step: int) -> TrainingBatch:
        return TrainingBatch.of(sampler.batch(self.plan.fresh_indices(step, self.place)), maps=self.maps)

    def _mixed(self, window: list[dict[str, Tensor]], step: int) -> TrainingBatch:
        """All of the newest pictures, the rest at random from the window."""
        generator = torch.Generator().manual_seed(step_seed(self.plan.seed, step, self.place.rank))
        n_old = self.plan.batch_size - self.plan.fresh
        slots = torch.randint(len(window) * self.plan.fresh, (n_old,), generator=generator).tolist()
        picked = [{n: t[s % self.plan.fresh, None] for n, t in window[s // self.plan.fresh].items()} for s in slots]
        parts = [window[-1], *picked]
        tensors = {name: torch.cat([part[name] for part in parts]) for name in window[-1]}
        return TrainingBatch(**{**tensors, "image": tensors["image"].float() / 255.0})

    def _augmented(self, batch: TrainingBatch, step: int) -> TrainingBatch:
        if self.augmentation is None:
            return batch
        generator = torch.Generator().manual_seed(step_seed(self.plan.seed + 1, step, self.place.rank))
        return augment(batch, self.augmentation, generator)


def worker_steps(order: Iterable[list[int]], place: StreamPlace) -> Iterator[tuple[int, list[int]]]:
    """The steps that this worker of a loader makes, and their samples: with n workers, worker k makes steps k, k + n, ..., and
    torch's loader takes turns, so the order is that of steps.

    Args:
        order: the samples of all steps from the place on.
        place: where the stream begins.
    """
    worker = get_worker_info()
    first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
    for step, indices in enumerate(order, place.step):
        if (step - place.step) % stride == first:
            yield step, indices


def _packed(batch: TrainingBatch) -> dict[str, Tensor]:
    """Pictures as bytes: a window of 2048 at 128 px then takes 100 MB."""
    return {**batch.tensors(), "image": (255.0 * batch.image).round().to(torch.uint8)}


def step_seed(seed: int, step: int, rank: int) -> int:
    """One number for a generator; far apart for neighbouring steps."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) % (1 << 62)


class EndlessOrder:
    """Batches of indices into a data set of fixed length, from a step on, for ever: a batch sampler for torch's loader.

    Every pass is a new permutation; each process takes its own part of each global batch.

    Args:
        length: samples in the data set.
        plan: batch size and seed.
        place: of the first step, and of this process.

    Raises:
        ValueError: an empty data set, or one smaller than a batch of all processes.
    """

    def __init__(self, length: int, plan: BatchPlan, place: StreamPlace | None = None) -> None:
        self.length, self.plan, self.place = length, plan, place or StreamPlace()
        together = plan.batch_size * self.place.world
        if length < together:
            raise ValueError(
                f"the data set holds {length} samples, fewer than one batch of {plan.batch_size} on {self.place.world} processes; "
                "lower the batch size"
            )

    def __iter__(self) -> Iterator[list[int]]:
        together = self.plan.batch_size * self.place.world
        steps_a_pass = self.length // together
        step = self.place.step
        order: list[int] = []
        while True:
            turn, part = divmod(step, steps_a_pass)
            if not order or part == 0:
                generator = torch.Generator().manual_seed(step_seed(self.plan.seed, turn, 0))
                order = torch.randperm(self.length, generator=generator).tolist()
            first = part * together + self.place.rank * self.plan.batch_size
            yield order[first : first + self.plan.batch_size]
            step += 1


def stream_loader(stream: Dataset[Any], workers: int) -> DataLoader[Any]:
    """A loader of the ready batches of a stream.

    Args:
        stream: yields batches.
        workers: processes that make them; 0 makes them in the training process.
    """
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        # Forking a process whose threads run can lock up; spawned workers build what they need themselves.
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
        persistent_workers=bool(workers),
        worker_init_fn=_one_thread if workers else None,
    )


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
