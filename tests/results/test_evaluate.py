"""Evaluation: a perfect predictor has no error, splits are those of training, gains are signed."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.console import Console

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch, collate
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.splits import split_indices
from smil_ray.errors import DataError
from smil_ray.losses.targets import true_params
from smil_ray.results import evaluate as module
from smil_ray.results.evaluate import (
    Evaluation,
    batches,
    evaluate,
    held_out_indices,
    measure,
    print_evaluation,
)
from smil_ray.results.prediction_sheet import write_prediction_sheet
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.insect_data import write_insects
from tests.memory_data import make_samples


@pytest.fixture(scope="module")
def dataset(insect_file: Path) -> SmilDataset:
    return SmilDataset.from_path(insect_file)


@pytest.fixture(scope="module")
def loaded(insect_run: Path) -> LoadedRegressor:
    return load_regressor(insect_run)


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_perfect_predictor_has_no_error(dataset: SmilDataset, frame: str) -> None:
    model = SmilModel.builtin()
    held_out = batches(dataset, range(8), frame, 3)
    figures = measure(
        lambda batch: true_params(batch, model), held_out, model, dataset.input_size
    ).compute()
    assert figures["n_samples"] == 8
    for name, value in figures.items():
        if name.startswith("pck"):
            assert value == pytest.approx(1.0, abs=1e-5), name
        elif not name.startswith("n_"):
            assert value == pytest.approx(0.0, abs=2e-3), name


def test_bodies_are_posed_as_in_training(dataset: SmilDataset) -> None:
    model = SmilModel.builtin()
    batch = collate(dataset.samples([0]))
    betas = replace(batch.target, betas=batch.target.betas + 1.0)
    found = {
        rest: measure(
            lambda _: betas, [batch], model, dataset.input_size, BodyConfig(rest_joints=rest)
        ).compute()["mpjpe"]
        for rest in ("static", "regressed")
    }
    assert found["static"] != pytest.approx(found["regressed"], rel=1e-3)


def test_checkpoint_body_settings_reach_the_figures(
    loaded: LoadedRegressor, dataset: SmilDataset
) -> None:
    figures = {}
    for rest in ("static", "regressed"):
        body = loaded.config.body.model_copy(update={"rest_joints": rest})
        changed = replace(loaded, config=loaded.config.model_copy(update={"body": body}))
        figures[rest] = evaluate(changed, dataset, split="val").metrics["network"]["mpjpe"]
    assert figures["static"] != figures["regressed"]


def test_evaluation_has_network_and_both_baselines_on_the_split_of_training(
    loaded: LoadedRegressor, dataset: SmilDataset, tmp_path: Path
) -> None:
    found = evaluate(loaded, dataset, batch_size=2)
    splits = split_indices(dataset.names, dataset.groups, 0.25, 0.25, 13)
    assert found.n_samples == len(splits.test) > 0
    assert held_out_indices(loaded, dataset, "test") == splits.test.tolist()
    assert list(found.metrics) == ["network", "mean pose", "nearest neighbour"]
    assert found.left_out == {}
    for figures in found.metrics.values():
        assert figures["n_samples"] == found.n_samples
        assert all(np.isfinite(value) for value in figures.values())
    assert set(found.per_joint["pa_mpjpe_pct_bl"]) == set(loaded.model.skeleton.joint_names)
    path = tmp_path / "figures.json"
    found.write_json(path)
    assert orjson.loads(path.read_bytes())["metrics"] == found.metrics
    assert "100 % of body length: b_a_5 - b_a_4 - " in str(found.table().caption)
    assert evaluate(loaded, dataset, batch_size=16).metrics["network"] == pytest.approx(
        found.metrics["network"], rel=1e-4
    )


def test_every_sample_is_evaluated_where_all_are_wanted(
    loaded: LoadedRegressor, dataset: SmilDataset
) -> None:
    found = evaluate(loaded, dataset, split="all")
    assert found.n_samples == len(dataset)
    # No sample is its own neighbour, so that there is no perfect answer.
    assert found.metrics["nearest neighbour"]["mpjpe"] > 0.01
    console = Console(width=200, record=True, file=io.StringIO())
    print_evaluation(found, console)
    assert "16 samples, seen in training or not (all split)" in console.export_text()


def test_data_without_rotations_are_evaluated_without_baselines(
    loaded: LoadedRegressor, tmp_path: Path
) -> None:
    absent = ("global_rot", "joint_rot", "betas")
    samples = [
        replace(
            sample,
            **{name: np.full_like(getattr(sample, name), np.nan) for name in absent},
            present=sample.present - set(absent),
        )
        for sample in make_samples(loaded.model, 5)
    ]
    data = SmilDataset.from_path(write_insects(tmp_path / "points.h5", samples))
    found = evaluate(loaded, data)
    assert list(found.metrics) == ["network"]
    assert list(found.left_out) == ["mean pose", "nearest neighbour"]
    assert "rot_deg_global" not in found.metrics["network"]
    assert found.metrics["network"]["mpjpe"] > 0
    assert found.gain("mpjpe") == "-"
    assert "no training sample has" in str(found.table().caption)


def test_one_scene_can_be_evaluated_as_a_whole_only(
    loaded: LoadedRegressor, tmp_path: Path
) -> None:
    samples = [replace(sample, group="one") for sample in make_samples(loaded.model, 3)]
    data = SmilDataset.from_path(write_insects(tmp_path / "one.h5", samples))
    assert evaluate(loaded, data, split="all").n_samples == 3
    with pytest.raises(DataError, match="validation split is empty; found 3 samples in 1 groups"):
        evaluate(loaded, data)


def test_unknown_and_empty_splits_are_one_sentence(
    loaded: LoadedRegressor, dataset: SmilDataset
) -> None:
    with pytest.raises(DataError, match="Split 'train'; expected test, val or all"):
        evaluate(loaded, dataset, split="train")
    data = loaded.config.data.model_copy(update={"test_fraction": 0.0})
    changed = replace(loaded, config=loaded.config.model_copy(update={"data": data}))
    with pytest.raises(DataError, match=r"test split is empty.*--split val or all"):
        evaluate(changed, dataset)


def test_baselines_learn_from_a_bounded_even_share(
    loaded: LoadedRegressor, dataset: SmilDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Recorder:
        @classmethod
        def of(cls, training: list[Batch]) -> None:
            seen.extend(name for batch in training for name in batch.names)
            raise DataError("enough")

    monkeypatch.setattr(module, "BASELINES", {"recorder": Recorder})
    monkeypatch.setattr(module, "BASELINE_SAMPLES", 3)
    evaluate(loaded, dataset)
    train = split_indices(dataset.names, dataset.groups, 0.25, 0.25, 13).train
    places = [train.tolist().index(dataset.names.index(name)) for name in seen]
    assert places == [0, (len(train) - 1) // 2, len(train) - 1]


@pytest.mark.parametrize(
    ("key", "ours", "theirs", "gain", "is_better"),
    [
        ("mpjpe_pct_bl", 20.0, 40.0, "-50 %", True),
        ("mpjpe_pct_bl", 50.0, 40.0, "+25 %", False),
        ("pck@0.10_bbox", 0.5, 0.25, "+0.250", True),
        ("pck@0.10_bbox", 0.25, 0.25, "+0.000", False),
        ("mpjpe_pct_bl", 1.0, 0.0, "-", False),
        ("kp2d_px_input", 1.0, None, "-", True),
    ],
)
def test_gain_is_relative_for_errors_and_absolute_for_shares(
    key: str, ours: float, theirs: float | None, gain: str, is_better: bool
) -> None:
    other = {} if theirs is None else {key: theirs}
    found = Evaluation("test", 1, {"network": {key: ours}, "mean pose": other})
    assert found.gain(key) == gain
    assert found.is_better(key) is is_better


def test_sheet_of_predictions_is_drawn_also_without_visible_joints(
    loaded: LoadedRegressor, dataset: SmilDataset, tmp_path: Path
) -> None:
    write_prediction_sheet(loaded, dataset, tmp_path / "new" / "sheet.png", each=1)
    assert (tmp_path / "new" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    hidden = [
        replace(sample, keypoint_visibility=np.zeros_like(sample.keypoint_visibility))
        for sample in make_samples(loaded.model, 2)
    ]
    data = SmilDataset.from_path(write_insects(tmp_path / "hidden.h5", hidden))
    write_prediction_sheet(loaded, data, tmp_path / "hidden.png", split="all")
    assert (tmp_path / "hidden.png").is_file()
