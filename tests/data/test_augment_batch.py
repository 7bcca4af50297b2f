"""Changes of whole batches against those of single pictures in numpy, the reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import AugmentConfig
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.data.augment import Augmenter
from smil_ray.data.augment_batch import with_changed_pictures
from tests.memory_data import make_samples

SIZE = 64
STRONG = AugmentConfig(
    enabled=True, rotate_deg=180, zoom=0.3, shift=0.2, flip=0.5, contrast=0.5, noise=0.0
)


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


@pytest.fixture(scope="module")
def samples(model: SmilModel) -> list[Sample]:
    return [smooth(sample, number) for number, sample in enumerate(make_samples(model, 12))]


def smooth(sample: Sample, seed: int) -> Sample:
    """A picture without edges, which interpolation hardly changes, and a mask of a disc."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = [np.sin(rng.uniform(2, 6) * x + rng.uniform(2, 6) * y + p) for p in range(3)]
    image = np.rint(128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)
    mask = np.where((x - 0.4) ** 2 + (y - 0.5) ** 2 < 0.06, 255, 0).astype(np.uint8)
    return replace(sample, image=image, mask=mask)


def both_ways(
    samples: list[Sample], model: SmilModel, config: AugmentConfig, epoch: int = 0
) -> tuple[Batch, Batch]:
    """The batch whose pictures were changed one by one, and the one that waits for it."""
    ways = (Augmenter(config, model.skeleton, 7, pictures=pictures) for pictures in (True, False))
    one_by_one, waiting = (collate([way(sample, epoch) for sample in samples]) for way in ways)
    return one_by_one, waiting


@pytest.mark.parametrize("epoch", [0, 1])
def test_pictures_are_those_of_numpy(samples: list[Sample], model: SmilModel, epoch: int) -> None:
    expected, waiting = both_ways(samples, model, STRONG, epoch)
    found = with_changed_pictures(waiting)
    assert found.picture_change is None
    assert expected.image is not None
    assert found.image is not None
    assert found.image.dtype == torch.uint8
    difference = (found.image.int() - expected.image.int()).abs()
    # OpenCV's places have 5 bits: an edge of the picture against black may be 1/32 px off.
    assert difference.float().mean() < 0.7
    assert (difference > 12).float().mean() < 2e-3
    assert expected.mask is not None
    assert found.mask is not None
    assert ((found.mask.int() - expected.mask.int()).abs() > 12).float().mean() < 2e-3


def test_labels_do_not_depend_on_where_pictures_change(
    samples: list[Sample], model: SmilModel
) -> None:
    expected, waiting = both_ways(samples, model, STRONG)
    assert waiting.picture_change is not None
    assert waiting.picture_change.shape == (12, 10)
    for name, value in vars(expected).items():
        if isinstance(value, torch.Tensor) and name not in ("image", "mask"):
            torch.testing.assert_close(
                getattr(waiting, name), value, atol=0, rtol=0, equal_nan=True
            )
    for name, value in expected.target.as_dict().items():
        torch.testing.assert_close(
            getattr(waiting.target, name), value, atol=0, rtol=0, equal_nan=True
        )


def test_pictures_wait_unchanged(samples: list[Sample], model: SmilModel) -> None:
    _, waiting = both_ways(samples, model, STRONG)
    plain = collate(samples)
    assert waiting.image is not None
    assert plain.image is not None
    assert torch.equal(waiting.image, plain.image)


def test_no_change_changes_nothing(samples: list[Sample], model: SmilModel) -> None:
    still = AugmentConfig(
        enabled=True, rotate_deg=0, zoom=0, brightness=0, contrast=0, saturation=0, noise=0
    )
    _, waiting = both_ways(samples, model, still)
    found, plain = with_changed_pictures(waiting), collate(samples)
    assert found.image is not None
    assert plain.image is not None
    assert torch.equal(found.image, plain.image)
    assert found.mask is not None
    assert plain.mask is not None
    assert torch.equal(found.mask, plain.mask)


def test_noise_is_as_strong_as_drawn_and_follows_the_generator(
    samples: list[Sample], model: SmilModel
) -> None:
    noisy = AugmentConfig(
        enabled=True, rotate_deg=0, zoom=0, brightness=0, contrast=0, saturation=0, noise=0.05
    )
    _, waiting = both_ways(samples, model, noisy)
    pictures = []
    for _ in range(2):
        torch.manual_seed(5)
        found = with_changed_pictures(waiting).image
        assert found is not None
        pictures.append(found)
    assert torch.equal(*pictures)
    plain = collate(samples).image
    assert plain is not None
    assert waiting.picture_change is not None
    spread = (pictures[0].float() - plain.float()).flatten(1).std(dim=1)
    drawn = waiting.picture_change[:, 9]
    assert drawn.max() > 5.0
    torch.testing.assert_close(spread, (drawn**2 + 1 / 12).sqrt(), rtol=0.1, atol=0.1)


def test_batches_without_changes_are_left_alone(samples: list[Sample]) -> None:
    batch = collate(samples[:2])
    assert with_changed_pictures(batch) is batch
