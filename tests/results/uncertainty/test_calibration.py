"""Intervals of a run: errors are those of the metrics, kept in the run, made by a command."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.cli.main import main
from smil_ray.data.dataset import SmilDataset
from smil_ray.results.evaluate import evaluate, held_out_indices
from smil_ray.results.uncertainty.calibration import (
    calibrate,
    calibrate_run,
    joint_errors,
    run_intervals,
)
from smil_ray.results.uncertainty.conformal import INTERVALS_FILE
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.insect_data import train_insects


@pytest.fixture(scope="module")
def fresh_run(insect_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_insects(insect_file, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def loaded(fresh_run: Path) -> LoadedRegressor:
    (fresh_run / INTERVALS_FILE).unlink(missing_ok=True)
    return load_regressor(fresh_run)


def test_errors_are_those_that_metrics_count(loaded: LoadedRegressor, insect_file: Path) -> None:
    dataset = SmilDataset.from_path(insect_file)
    errors = joint_errors(loaded, dataset, held_out_indices(loaded, dataset, "all"))
    figures = evaluate(loaded, dataset, split="all").metrics["network"]
    assert np.nanmean(errors.in_3d) == pytest.approx(figures["mpjpe_ra_pct_bl"], rel=1e-4)
    assert errors.spread is None
    assert len(errors) == len(dataset)


def test_run_keeps_its_intervals_and_says_which_weights_they_are_of(
    loaded: LoadedRegressor, insect_file: Path
) -> None:
    assert run_intervals(loaded)[0] is None
    assert "smil-ray calibrate" in run_intervals(loaded)[1]
    found = calibrate_run(loaded, SmilDataset.from_path(insect_file))
    assert not isinstance(found, str)
    kept, lack = run_intervals(loaded)
    assert kept is not None
    assert lack == ""
    np.testing.assert_array_equal(kept.radius_2d, found.intervals.radius_2d)
    assert kept.weights
    assert kept.split == "val"


def test_coverage_is_measured_on_samples_that_gave_no_interval(
    loaded: LoadedRegressor, insect_file: Path
) -> None:
    dataset = SmilDataset.from_path(insect_file)
    found = calibrate(loaded, dataset)
    assert found.coverage is not None
    assert found.coverage.n_samples == len(held_out_indices(loaded, dataset, "test"))
    assert 0.6 < found.coverage.overall[0] <= 1.0
    assert calibrate(loaded, dataset, check_split=None).coverage is None


def test_command_writes_the_intervals_of_an_older_run(
    loaded: LoadedRegressor, fresh_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(fresh_run)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "90% intervals from" in said
    assert "% of body length" in said
    assert (fresh_run / INTERVALS_FILE).is_file()
