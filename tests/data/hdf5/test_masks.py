"""Masks as bytes (data_format section 4.2)."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smil_ray.data.hdf5.masks import decode_mask, encode_mask
from smil_ray.errors import DataError


@given(mask=hnp.arrays(np.uint8, st.integers(1, 24).map(lambda n: (n, n))))
@settings(max_examples=60, deadline=None)
def test_soft_mask_comes_back_exactly(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), mask.shape[0]), mask)


def test_empty_mask_is_eight_bytes() -> None:
    encoded = encode_mask(np.zeros((32, 32), np.uint8))
    assert encoded == bytes(8)
    assert not decode_mask(encoded, 32).any()


@given(data=st.binary(max_size=64))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_a_mask_or_a_data_error(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert decode_mask(data, 16).shape == (16, 16)


@pytest.mark.parametrize("damage", ["cut", "flip", "larger"])
def test_damaged_mask_is_a_data_error(damage: str) -> None:
    rng = np.random.default_rng(0)
    data = bytearray(encode_mask(rng.integers(1, 255, (16, 16), dtype=np.uint8)))
    if damage == "cut":
        data = data[:-3]
    elif damage == "flip":
        data[len(data) // 2] ^= 0x10
    size = 8 if damage == "larger" else 16
    with pytest.raises(DataError, match="mask"):
        decode_mask(bytes(data), size)
