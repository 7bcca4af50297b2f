import pytest

from smil_ray.errors import ConfigError
from smil_ray.training.batches.order import ShuffledOrder
from smil_ray.training.batches.sampler import EpochBatches, step_seed


def batches(sampler: EpochBatches, epoch: int, start: int = 0) -> list[list[int]]:
    sampler.set_position(epoch, start)
    return list(sampler)


def test_epoch_batches_hold_every_sample_at_most_once() -> None:
    found = batches(EpochBatches(ShuffledOrder(22, 1), 4), 0)
    flat = [index for batch in found for index in batch]
    assert len(found) == 5
    assert len(set(flat)) == len(flat) == 20


def test_epoch_batches_same_seed_and_epoch_same_order() -> None:
    assert batches(EpochBatches(ShuffledOrder(22, 1), 4), 3) == batches(
        EpochBatches(ShuffledOrder(22, 1), 4), 3
    )
    assert batches(EpochBatches(ShuffledOrder(22, 1), 4), 3) != batches(
        EpochBatches(ShuffledOrder(22, 1), 4), 4
    )
    assert batches(EpochBatches(ShuffledOrder(22, 1), 4), 3) != batches(
        EpochBatches(ShuffledOrder(22, 2), 4), 3
    )


def test_epoch_batches_from_a_position_are_the_rest() -> None:
    sampler = EpochBatches(ShuffledOrder(22, 1), 4)
    assert batches(sampler, 2, start=3) == batches(sampler, 2)[3:]


def test_epoch_batches_of_two_processes_are_one_double_batch() -> None:
    one = batches(EpochBatches(ShuffledOrder(22, 1), 8), 5)
    first = batches(EpochBatches(ShuffledOrder(22, 1), 4, rank=0, world_size=2), 5)
    second = batches(EpochBatches(ShuffledOrder(22, 1), 4, rank=1, world_size=2), 5)
    assert [a + b for a, b in zip(first, second, strict=True)] == one


def test_epoch_batches_few_samples_give_one_smaller_batch() -> None:
    assert [len(batch) for batch in batches(EpochBatches(ShuffledOrder(3, 1), 8), 0)] == [3]


def test_epoch_batches_fewer_samples_than_processes_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_workers"):
        EpochBatches(ShuffledOrder(1, 1), 8, rank=0, world_size=2)


def test_step_seed_differs_by_step_and_rank() -> None:
    seeds = {step_seed(13, step, rank) for step in range(50) for rank in range(2)}
    assert len(seeds) == 100
    assert step_seed(13, 7, 1) == step_seed(13, 7, 1)
