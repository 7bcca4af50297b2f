from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.training.assemble import assemble
from smil_ray.training.batches.loaders import train_loader, val_loader
from smil_ray.training.batches.stream import BatchRequest, BatchStream
from smil_ray.training.world import World
from tests.memory_data import DeadlyData, MemoryData, tiny_config


@pytest.fixture
def stream(insect: SmilModel, data: MemoryData) -> BatchStream:
    config = tiny_config(data={"batch_size": 2})
    return BatchStream(assemble(config, data, insect), config, World())


def names_of(stream: BatchStream, *wants: BatchRequest) -> list[tuple[str, ...]]:
    return [stream.take(want).batch.names for want in wants]


def test_stream_gives_the_batches_of_the_loaders(
    stream: BatchStream, insect: SmilModel, data: MemoryData
) -> None:
    config = tiny_config(data={"batch_size": 2})
    parts = assemble(config, data, insect)
    loader, sampler = train_loader(parts, config, World())
    sampler.set_position(3)
    wants = [BatchRequest(3, "0_train", number) for number in range(stream.counts.train)]
    assert names_of(stream, *wants) == [batch.names for batch in loader]
    held_out = [BatchRequest(3, "1_val", number) for number in range(stream.counts.val)]
    expected = [batch.names for batch in val_loader(parts, config, World())]
    assert names_of(stream, *held_out) == expected


@pytest.mark.parametrize("split", ["0_train", "1_val"])
def test_stream_goes_back_and_forth(stream: BatchStream, split: str) -> None:
    def want(epoch: int, number: int) -> BatchRequest:
        return BatchRequest(epoch, split, number)  # pyright: ignore[reportArgumentType]

    first, second = names_of(stream, want(0, 0), want(0, 1))
    assert first != second
    assert names_of(stream, want(0, 1), want(1, 0), want(0, 0)) == [
        second,
        *names_of(stream, want(1, 0)),
        first,
    ]


def test_stream_raises_an_error_where_it_belongs(
    insect: SmilModel, data: MemoryData, tmp_path: Path
) -> None:
    """The second batch cannot be read: the first one, in time, comes whole."""
    config = tiny_config()
    deadly = DeadlyData(data, tmp_path / "mark", fatal=2, raises=True)
    stream = BatchStream(assemble(config, deadly, insect), config, World())
    assert stream.take(BatchRequest(0, "0_train", 0)).batch.size == 4
    with pytest.raises(RuntimeError, match="the disk burns"):
        stream.take(BatchRequest(0, "0_train", 1))


def test_stream_asked_for_too_much_says_so(stream: BatchStream) -> None:
    with pytest.raises(RuntimeError, match="ended before"):
        stream.take(BatchRequest(0, "1_val", stream.counts.val))


def test_stream_leaves_random_numbers_alone(stream: BatchStream) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    names_of(stream, BatchRequest(0, "0_train", 0), BatchRequest(0, "1_val", 0))
    assert torch.equal(torch.rand(3), expected)
