"""Keeping and dropping samples, with reasons."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from smil_ray.data.filters import REASONS, FilterOptions, SampleError, coverage, drop_reason
from smil_ray.data.replicant.reading import find_entries, read_samples
from tests.data.replicant import tiny_replicant as tiny


@pytest.fixture
def sample(tmp_path):
    tiny.write(tmp_path, "a_00", tiny.frame())
    return read_samples(find_entries(tmp_path)[0], tiny.TinyBody()).samples[0]


def test_defaults_keep_a_sample_with_an_empty_mask(sample):
    empty = replace(sample, mask=np.zeros_like(sample.mask))
    assert drop_reason(empty, FilterOptions()) is None


@pytest.mark.parametrize(("threshold", "reason"), [(0.24, None), (0.26, "low_coverage")])
def test_coverage_counts_soft_pixels_by_their_value(sample, threshold, reason):
    mask = np.zeros_like(sample.mask)
    mask[:48] = 128  # Half of the picture, half covered.
    soft = replace(sample, mask=mask)
    assert drop_reason(soft, FilterOptions(silhouette_threshold=threshold)) == reason


def test_missing_mask_never_counts_as_low_coverage(sample):
    bare = replace(sample, mask=None)
    assert coverage(bare) is None
    assert drop_reason(bare, FilterOptions(silhouette_threshold=0.9)) is None


@pytest.mark.parametrize(("wanted", "reason"), [(3, None), (4, "few_keypoints")])
def test_visible_keypoints_are_counted(sample, wanted, reason):
    seen = np.arange(len(tiny.JOINTS)) < 3
    some = replace(sample, keypoint_visibility=seen)
    assert drop_reason(some, FilterOptions(min_visible_keypoints=wanted)) == reason
    assert reason is None or reason in REASONS


def test_sample_error_keeps_reason_and_text_when_pickled():
    error = SampleError("non_finite", "a.json: FOV", expected="a number", found="nan")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.reason, str(copy)) == (SampleError, "non_finite", str(error))
