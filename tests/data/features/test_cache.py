import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from smil_ray.core.batch import Batch, collate
from smil_ray.data.features.build import build
from smil_ray.data.features.cache import FeatureCache, FeatureView, unchanged
from smil_ray.data.features.key import DTYPES, FeatureKey, rows_per_shard
from smil_ray.data.features.shard import FEATURES, MASK_BYTES, REST_CRC, ROW_CRC, Tensors
from smil_ray.errors import DataError
from tests.data.features.feature_samples import COUNT, NAMES, encode, make_key, maker, read


def built(folder: Path, key: FeatureKey) -> FeatureCache:
    build(folder, key, maker(key))
    return FeatureCache(folder, key)


def assert_same(found: Batch, expected: Batch) -> None:
    for name in ("target", "presence"):
        mine, other = getattr(found, name), getattr(expected, name)
        mine, other = (v if isinstance(v, dict) else v.as_dict() for v in (mine, other))
        for key, value in other.items():
            torch.testing.assert_close(mine[key], value, rtol=0, atol=1e-6, equal_nan=True)
    for name, value in vars(expected).items():
        if isinstance(value, torch.Tensor) and name != "image":
            torch.testing.assert_close(
                getattr(found, name), value, rtol=0, atol=1e-6, equal_nan=True
            )


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_view_gives_the_batch_that_pictures_give(tmp_path: Path, frame: str) -> None:
    cache = built(tmp_path / "cache", make_key())
    indices = [7, 2, 9, 0, 3]
    view = FeatureView(cache, NAMES, indices, frame, with_masks=True)
    loader = DataLoader(view, batch_size=3, collate_fn=unchanged)
    for batch, chosen in zip(loader, ([7, 2, 9], [0, 3]), strict=True):
        expected = collate(read(chosen), frame)
        assert batch.names == expected.names
        assert batch.image is None
        assert_same(batch, expected)
        assert expected.image is not None
        assert torch.equal(batch.tokens, encode(expected.image))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_stored_in_two_bytes(tmp_path: Path, precision: str) -> None:
    cache = built(tmp_path / "cache", make_key(precision=precision))
    tokens = cache.tokens(range(COUNT))
    assert tokens.dtype == DTYPES[precision]
    pictures = collate(read(range(COUNT))).image
    assert pictures is not None
    torch.testing.assert_close(tokens.float(), encode(pictures), rtol=4e-3, atol=0)


def test_cache_pickles_without_its_rows(tmp_path: Path) -> None:
    cache = built(tmp_path / "cache", make_key())
    data = pickle.dumps(cache)
    assert len(data) < 2000
    assert torch.equal(pickle.loads(data).tokens([4]), cache.tokens([4]))


def test_masks_are_decoded_only_where_wanted(tmp_path: Path) -> None:
    cache = built(tmp_path / "cache", make_key())
    found = FeatureView(cache, NAMES, [1], "camera", with_masks=False).__getitems__([0])
    assert found.mask is None
    assert cache.masks([0]).sum() == 0
    mask = read([1])[0].mask
    assert mask is not None
    assert np.array_equal(cache.masks([1])[0, 0].numpy(), mask)


def test_views_follow_the_epoch_in_turn(tmp_path: Path) -> None:
    key = make_key(views=3, augmentation="some")
    cache = built(tmp_path / "cache", key)
    view = FeatureView(cache, NAMES, range(COUNT), "camera", with_masks=False)
    for epoch in (0, 1, 2, 4):
        view.set_epoch(epoch)
        expected = cache.tokens([5, 6], epoch % 3)
        assert torch.equal(view.__getitems__([5, 6]).tokens, expected)  # pyright: ignore


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("data_hash", "other"),
        ("weights_hash", "other"),
        ("input_size", 32),
        ("precision", "fp16"),
        ("order_hash", "other"),
        ("augmentation", "other"),
        ("views", 2),
        ("layout", "other"),
    ],
)
def test_other_key_is_another_cache_and_refused(tmp_path: Path, part: str, value: object) -> None:
    key, other = make_key(), make_key(**{part: value})
    assert key.digest != other.digest
    assert key.folder_name != other.folder_name
    build(tmp_path / "cache", key, maker(key))
    with pytest.raises(DataError, match=part):
        FeatureCache(tmp_path / "cache", other)


def test_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    key = make_key()
    build(tmp_path / "cache", key, maker(key))
    path = tmp_path / "cache" / "features-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="features-00001"):
        FeatureCache(tmp_path / "cache", key)


@pytest.mark.parametrize(
    ("width", "rows", "expected"),
    [
        (100, 5, 16),
        (100, 64, 16),
        (100, 6400, 200),
        (100, 10**7, 4096),
        (197 * 768, 10_000, 218),
        (10**9, 10_000, 1),
    ],
    ids=["few", "small", "shared out", "many", "64 MB", "one row is more"],
)
def test_files_are_neither_too_large_nor_too_few(width: int, rows: int, expected: int) -> None:
    assert rows_per_shard(width, "fp16", rows) == expected


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[Callable[[Tensors], None]], FeatureCache]:
    """Builds a cache, changes the tensors of its first file, and opens it."""

    def make(change: Callable[[Tensors], None]) -> FeatureCache:
        built(tmp_path / "cache", make_key())
        path = tmp_path / "cache" / "features-00000.safetensors"
        tensors = {name: value.clone() for name, value in load_file(path).items()}
        change(tensors)
        save_file(tensors, path)
        return FeatureCache(tmp_path / "cache", make_key())

    return make


def test_damaged_features_are_an_error_when_they_are_read(damaged: Callable) -> None:
    def zero(tensors: Tensors) -> None:
        tensors[FEATURES][1] = 0.0

    cache = damaged(zero)
    cache.tokens([0, 2, 5])
    with pytest.raises(DataError, match=r"checksum of a sample's features .*cache rm"):
        cache.tokens([1])


def test_moved_mask_is_an_error_when_it_is_read(damaged: Callable) -> None:
    def move(tensors: Tensors) -> None:
        tensors[MASK_BYTES][0] ^= 1

    cache = damaged(move)
    with pytest.raises(DataError, match="checksum of a sample's mask"):
        cache.masks([0, 1])


def test_damaged_label_is_an_error_when_the_cache_is_opened(damaged: Callable) -> None:
    def change(tensors: Tensors) -> None:
        tensors["betas"][2, 0] += 1.0

    with pytest.raises(DataError, match="another checksum"):
        damaged(change)


def test_damaged_name_of_a_column_is_an_error(damaged: Callable) -> None:
    def rename(tensors: Tensors) -> None:
        tensors["intzinsics"] = tensors.pop("intrinsics")

    with pytest.raises(DataError, match="other columns"):
        damaged(rename)


def test_cache_from_before_checksums_is_read(damaged: Callable) -> None:
    def strip(tensors: Tensors) -> None:
        del tensors[ROW_CRC], tensors[REST_CRC]

    assert damaged(strip).tokens(range(COUNT)).shape[0] == COUNT
