from dataclasses import replace

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.training.assemble import assemble
from smil_ray.training.batches import packed_batch
from smil_ray.training.batches.loaders import train_loader
from smil_ray.training.batches.packed_batch import ALIGNMENT, moved, pack, to_device, unpack
from smil_ray.training.world import World
from tests.memory_data import MemoryData, tiny_config


def assert_same(found: Batch, expected: Batch) -> None:
    assert found.names == expected.names
    assert found.reference_frame == expected.reference_frame
    assert set(found.presence) == set(expected.presence)
    for name, value in expected.presence.items():
        assert torch.equal(found.presence[name], value)
    for name, value in expected.target.as_dict().items():
        torch.testing.assert_close(getattr(found.target, name), value, equal_nan=True)
    for name, value in vars(expected).items():
        if isinstance(value, torch.Tensor):
            other = getattr(found, name)
            assert other.dtype == value.dtype
            torch.testing.assert_close(other, value, equal_nan=True, rtol=0, atol=0)
        elif value is None:
            assert getattr(found, name) is None


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_packed_batch_gives_the_batch_back(samples: list[Sample], frame: str) -> None:
    batch = collate(samples[:3], frame)
    assert_same(unpack(pack(batch)), batch)


def test_packed_batch_keeps_odd_sizes_and_types_apart(samples: list[Sample]) -> None:
    mask = torch.arange(3 * 5 * 7, dtype=torch.uint8).reshape(3, 1, 5, 7)
    tokens = torch.randn(3, 11).half()
    batch = replace(collate(samples[:3]), image=None, mask=mask, tokens=tokens)
    packed = pack(batch)
    assert all(slot.start % ALIGNMENT == 0 for slot in packed.slots)
    assert_same(unpack(packed), batch)


def test_loader_processes_give_what_this_process_would(
    insect: SmilModel, data: MemoryData
) -> None:
    found = []
    for workers in (0, 1):
        config = tiny_config(data={"loader_workers": workers})
        loader, sampler = train_loader(assemble(config, data, insect), config, World())
        sampler.set_position(1)
        found.append(list(loader))
    assert len(found[0]) == len(found[1]) == 2
    for here, there in zip(*found, strict=True):
        assert_same(there, here)


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_one_copy_moves_every_tensor(samples: list[Sample], frame: str) -> None:
    """Of a batch with everything that it can have; the meta device stands for a GPU."""
    change = torch.randn(3, 10)
    batch = replace(collate(samples[:3], frame), tokens=torch.ones(3, 7), picture_change=change)
    meta = torch.device("meta")
    found = unpack(moved(pack(batch), meta))
    tensors = packed_batch._tensors(batch)
    assert len(tensors) > 25
    for name, value in packed_batch._tensors(found).items():
        assert value.device == meta, name
        assert (value.dtype, value.shape) == (tensors[name].dtype, tensors[name].shape), name
    assert_same(unpack(moved(pack(batch), torch.device("cpu"))), batch)


def test_batches_that_are_there_are_not_copied(samples: list[Sample]) -> None:
    batch = collate(samples[:2])
    assert to_device(batch, "cpu") is batch
    assert to_device(batch, "meta").intrinsics.device.type == "meta"


@pytest.mark.gpu
def test_a_gpu_gets_the_batch(samples: list[Sample]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    batch = collate(samples[:3])
    found = to_device(batch, torch.device("cuda", 0))
    assert found.intrinsics.device == torch.device("cuda", 0)
    assert_same(found.to("cpu"), batch)
