"""Fixtures of training: the procedural insect and a tiny data set of it."""

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Sample
from tests.memory_data import MemoryData, make_samples


@pytest.fixture(scope="session")
def insect() -> SmilModel:
    return SmilModel.builtin()


@pytest.fixture(scope="session")
def samples(insect: SmilModel) -> list[Sample]:
    return make_samples(insect, 24)


@pytest.fixture(scope="session")
def data(samples: list[Sample]) -> MemoryData:
    return MemoryData(samples)
