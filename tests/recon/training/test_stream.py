"""Streams: every step's batch follows from its number."""

import itertools

import pytest
import torch
from training_parts import CLEAN

from recon.synthesis import FaceSampler
from recon.training.augment import Augmentation
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, StreamPlan, SyntheticStream

_PX = 32


@pytest.fixture(scope="module")
def sampler(open_model):
    return FaceSampler(open_model, CLEAN, 1, (_PX, _PX))


def take(stream, count):
    return list(itertools.islice(iter(stream), count))


@pytest.mark.parametrize("replay", [1, 2])
def test_a_late_start_continues_where_an_early_one_would_be(sampler, replay):
    plan = StreamPlan(batch_size=4, replay=replay, window=6, seed=3)
    whole = take(SyntheticStream(lambda: sampler, plan, augmentation=Augmentation()), 5)
    rest = take(SyntheticStream(lambda: sampler, plan, StreamPlace(step=3), Augmentation()), 2)
    for early, late in zip(whole[3:], rest, strict=True):
        for name, tensor in early.tensors().items():
            assert torch.equal(tensor, late.tensors()[name]), name


def test_steps_and_processes_have_samples_of_their_own():
    seen = [
        index
        for step in range(5)
        for rank in range(2)
        for index in StreamPlan(batch_size=6, replay=3, window=12).fresh_indices(step, StreamPlace(rank=rank, world=2))
    ]
    assert sorted(seen) == list(range(20))


def test_a_replayed_batch_mixes_new_and_kept_pictures(sampler):
    plan = StreamPlan(batch_size=6, replay=3, window=8)
    batches = take(SyntheticStream(lambda: sampler, plan), 4)
    kept = [tuple(row) for batch in batches[:3] for row in batch.identity[:2].tolist()]
    last = [tuple(row) for row in batches[3].identity.tolist()]
    fresh = [row for row in last if row not in kept]
    assert len(batches[3]) == 6
    assert set(last[:2]) <= set(fresh), "the newest come first"
    assert set(last) <= set(kept) | set(last[:2])


def test_plain_stream_gives_exactly_its_samples(sampler):
    batch = take(SyntheticStream(lambda: sampler, StreamPlan(batch_size=2), StreamPlace(step=7)), 1)[0]
    wanted = sampler.batch([14, 15])
    assert torch.equal(batch.image, wanted.image)
    back = (wanted.landmarks520_cam - wanted.translation_mm[:, None]) @ wanted.rotation
    torch.testing.assert_close(batch.dense_obj, back)


def test_endless_order_shuffles_every_pass_and_resumes():
    plan = BatchPlan(batch_size=3, seed=2)
    whole = list(itertools.islice(iter(EndlessOrder(10, plan)), 7))
    assert sorted(sum(whole[:3], [])) != sorted(sum(whole[3:6], [])) or whole[:3] != whole[3:6]
    assert all(len(set(sum(whole[k : k + 3], []))) == 9 for k in (0, 3))
    assert list(itertools.islice(iter(EndlessOrder(10, plan, StreamPlace(step=4))), 3)) == whole[4:]
    ranks = [next(iter(EndlessOrder(10, plan, StreamPlace(rank=r, world=2)))) for r in range(2)]
    assert not set(ranks[0]) & set(ranks[1])


def test_bad_plans_are_named():
    with pytest.raises(ValueError, match="positive multiple of replay, got 5 and 2"):
        StreamPlan(batch_size=5, replay=2)
    with pytest.raises(ValueError, match=r"window of replayed pictures \(4\) is smaller than a batch"):
        StreamPlan(batch_size=8, replay=2, window=4)
    with pytest.raises(ValueError, match="holds 5 samples, fewer than one batch of 3 on 2 processes"):
        EndlessOrder(5, BatchPlan(3), StreamPlace(world=2))
    with pytest.raises(ValueError, match="at least one sample, got batch_size 0"):
        BatchPlan(batch_size=0)
    with pytest.raises(ValueError, match="got step 0, rank 2 and world 2"):
        StreamPlace(rank=2, world=2)
