"""A trained network and a photograph for the tests of prediction."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.data.dataset import SmilDataset
from smil_ray.results.uncertainty.calibration import calibrate_run
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor


@pytest.fixture(scope="module")
def loaded(insect_file: Path, insect_run: Path) -> LoadedRegressor:
    """The network of a run that keeps intervals of joints."""
    found = load_regressor(insect_run)
    calibrate_run(found, SmilDataset.from_path(insect_file))
    return found


@pytest.fixture
def photo(insect_file: Path) -> np.ndarray:
    return cv2.resize(SmilDataset.from_path(insect_file).sample(0).image, (64, 64))
