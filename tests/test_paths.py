"""Every function that takes a body model or a run takes the path of one as well."""

from pathlib import Path

import pytest

from smil_ray import SmilDataset, SMILImageRegressor, SmilModel, UnifiedSMILDataset
from smil_ray.body.describe import describe
from smil_ray.config import Config
from smil_ray.data.doctor.examination import examine
from smil_ray.errors import CheckpointError, DataError, ModelFileError
from smil_ray.orchestration.doctor import examine_in_parallel
from smil_ray.results.evaluate import evaluate
from smil_ray.results.ground_truth import check_ground_truth
from smil_ray.results.pictures import write_model_sheet
from smil_ray.results.prediction_sheet import write_prediction_sheet
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.data.replicant import tiny_replicant as tiny


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SmilModel.builtin().save(tmp_path_factory.mktemp("model") / "insect.npz")


@pytest.mark.parametrize("kind", [str, Path])
def test_data_set_takes_the_path_of_its_model(
    insect_file: Path, model_file: Path, kind: type
) -> None:
    dataset = UnifiedSMILDataset.from_path(insect_file, model=kind(model_file))
    assert len(dataset) == len(SmilDataset.from_path(insect_file, model=SmilModel.builtin()))
    with pytest.raises(ModelFileError, match="no such model file"):
        UnifiedSMILDataset.from_path(insect_file, model="absent.pkl")


def test_model_is_opened_by_itself_by_name_and_by_path(model_file: Path) -> None:
    model = SmilModel.builtin()
    assert SmilModel.open(model) is model
    for named in ("builtin", model_file, str(model_file)):
        assert SmilModel.open(named).content_hash == model.content_hash


def test_descriptions_and_pictures_take_the_path_of_a_model(
    model_file: Path, tmp_path: Path
) -> None:
    assert describe(model_file) == describe(SmilModel.load(model_file))
    assert all(path.is_file() for path in write_model_sheet(str(model_file), tmp_path))


def test_doctor_takes_the_path_of_a_model(model_file: Path, tmp_path: Path) -> None:
    tiny.write(tmp_path, "d_00", tiny.frame())
    expected = examine(tmp_path, SmilModel.load(model_file)).to_json()
    assert examine(tmp_path, model_file).to_json() == expected
    assert examine_in_parallel(tmp_path, str(model_file), num_workers=1).to_json() == expected


def test_ground_truth_takes_the_path_of_a_model(insect_file: Path, model_file: Path) -> None:
    dataset = SmilDataset.from_path(insect_file)
    (check,) = check_ground_truth(dataset, model_file, [0], config=Config())
    assert check.passed


def test_evaluation_takes_the_path_of_a_run(
    insect_run: Path, insect_file: Path, model_file: Path, tmp_path: Path
) -> None:
    dataset = SmilDataset.from_path(insect_file)
    loaded = load_regressor(insect_run, model=model_file)
    assert LoadedRegressor.open(loaded) is loaded
    assert evaluate(str(insect_run), dataset).metrics == evaluate(loaded, dataset).metrics
    assert write_prediction_sheet(insect_run, dataset, tmp_path / "sheet.png").is_file()


def test_regressor_takes_a_model_its_name_or_its_path(model_file: Path) -> None:
    for model in (SmilModel.load(model_file), model_file, "builtin"):
        made = SMILImageRegressor(
            shape_family=model, backbone_name="test_vit", head_type="mlp", batch_size=1
        )
        assert made.body.n_joints == 55


def test_anything_else_than_a_run_is_refused_by_name(insect_file: Path, tmp_path: Path) -> None:
    dataset = SmilDataset.from_path(insect_file)
    with pytest.raises(CheckpointError, match="neither a checkpoint nor a run folder"):
        evaluate(tmp_path, dataset)
    with pytest.raises(DataError):
        SmilDataset.from_path(tmp_path / "absent.h5", model="builtin")
