"""Samples that are drawn several times are changed anew each time, by their source's rules."""

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import AugmentConfig
from smil_ray.data.augment import Augmenter
from smil_ray.data.draws import Draw, DrawnView, positions_and_views
from smil_ray.data.mixed import MixedData
from tests.memory_data import MemoryData, make_samples


@pytest.fixture(scope="module")
def augmenter() -> Augmenter:
    return Augmenter(AugmentConfig(enabled=True), SmilModel.builtin().skeleton, seed=3)


@pytest.fixture(scope="module")
def alone() -> MemoryData:
    return MemoryData(make_samples(SmilModel.builtin(), 3))


def test_rounds_differ_and_repeat(alone: MemoryData, augmenter: Augmenter) -> None:
    view = DrawnView(alone.view([0, 1, 2]), {"": augmenter})
    first, second, again = view.__getitems__([Draw(1, 0), Draw(1, 1), Draw(1, 0)])
    assert (first.image == again.image).all()
    assert (first.image != second.image).any()
    assert first.name == alone.names[1]


def test_sample_of_a_source_changes_as_if_the_source_were_alone(
    alone: MemoryData, augmenter: Augmenter
) -> None:
    mixed = MixedData({"a": alone, "b": alone}, "a")
    view = DrawnView(mixed.view(range(6)), {"b": augmenter})
    plain, changed = view.__getitems__([Draw(0, 4), Draw(3, 4)])
    assert (plain.image == alone.samples([0])[0].image).all()
    expected = augmenter(alone.samples([0])[0], 4)
    assert (changed.image == expected.image).all()
    assert (plain.name, changed.name) == ("a/fake_0000", "b/fake_0000")


def test_positions_take_the_view_of_their_epoch_and_draws_that_of_their_round() -> None:
    positions, views = positions_and_views([4, 2], 7)
    assert positions == [4, 2]
    assert np.array_equal(views, [7, 7])
    positions, views = positions_and_views([Draw(4, 1), Draw(2, 0)], 7)
    assert positions == [4, 2]
    assert np.array_equal(views, [1, 0])
