"""The ground-truth test: zero on right labels, a failure on wrong ones, by function and command.

It is the composition of everything that conventions_3d.md states (sections 2 and 6 to 9).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smil_ray import cli
from smil_ray.body.smil_model import SmilModel
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.synthetic import SynthOptions, batch_file, render_sample
from smil_ray.data.synthetic_animal import Studio
from smil_ray.errors import DataError
from smil_ray.results.ground_truth import check_ground_truth

OPTIONS = SynthOptions(samples=3, image_size=64, seed=2, name="bugs")
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, studio = tmp_path_factory.mktemp("bugs"), Studio.open("builtin")
    for index in range(OPTIONS.samples):
        for name, content in render_sample(studio, OPTIONS, index).named().items():
            (out / name).write_bytes(content)
    name, content = batch_file(OPTIONS)
    (out / name).write_bytes(content)
    return out


def with_wrong_sample(folder: Path, out: Path, change: Change) -> Path:
    """A copy of the data set whose second sample has changed joints."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    wrong = out / "bugs_01.json"
    record = json.loads(wrong.read_text())
    change(next(iter(record["iterationData"]["subject Data"][0].values())))
    wrong.write_text(json.dumps(record))
    return out


def turn(joint: dict[str, Any], key: str, degrees: float) -> None:
    quaternion = joint[key]
    turned = Rotation.from_quat([quaternion[axis] for axis in "xyzw"])
    turned = turned * Rotation.from_euler("x", degrees, degrees=True)
    quaternion.update(zip("xyzw", turned.as_quat().tolist(), strict=True))


def bent_leg(subject: dict[str, Any]) -> None:
    turn(subject["keypoints"]["l_2_fe_l"], "quaternion", 60.0)


def turned_root(subject: dict[str, Any]) -> None:
    turn(subject["keypoints"]["b_t"], "globalRotation", 90.0)


def y_flipped(subject: dict[str, Any]) -> None:
    for joint in subject["keypoints"].values():
        joint["quaternion"]["y"] *= -1.0


def other_scales(subject: dict[str, Any]) -> None:
    subject["ScaleWeights"] = [4.0 * weight + 1.0 for weight in subject["ScaleWeights"]]


def test_labels_of_the_builtin_data_give_zero_loss_and_their_own_joints(
    folder: Path, model: SmilModel
) -> None:
    checks = check_ground_truth(SmilDataset.from_path(folder, model=model), model, range(3))
    assert [check.name for check in checks] == ["bugs_00", "bugs_01", "bugs_02"]
    for check in checks:
        assert check.passed
        assert check.parameter_loss == 0.0
        assert check.error_2d_px < 0.01
        assert check.largest_3d < 1e-5


@pytest.mark.parametrize("change", [bent_leg, turned_root, y_flipped, other_scales])
def test_wrong_sample_fails_and_the_others_pass(
    folder: Path, tmp_path: Path, model: SmilModel, change: Change
) -> None:
    data = SmilDataset.from_path(with_wrong_sample(folder, tmp_path / "w", change), model=model)
    checks = check_ground_truth(data, model, range(3))
    assert [check.passed for check in checks] == [True, False, True]
    assert np.nanmax(checks[1].error_3d) > 0.1


def test_tolerance_decides_about_small_errors(
    folder: Path, tmp_path: Path, model: SmilModel
) -> None:
    def slightly(subject: dict[str, Any]) -> None:
        turn(subject["keypoints"]["l_2_fe_l"], "quaternion", 3.0)

    data = SmilDataset.from_path(with_wrong_sample(folder, tmp_path / "w", slightly), model=model)
    for tolerance, passed in ((0.1, True), (0.001, False)):
        (check,) = check_ground_truth(data, model, [1], tolerance_3d=tolerance)
        assert check.passed == passed
    (check,) = check_ground_truth(data, model, [1], tolerance_3d=0.001, test_3d=False)
    assert check.passed


def test_index_out_of_range_is_an_error(folder: Path, model: SmilModel) -> None:
    data = SmilDataset.from_path(folder, model=model)
    with pytest.raises(DataError, match=r"expected 0 to 2.*found 3"):
        check_ground_truth(data, model, [3])


def test_command_exits_with_one_only_for_a_wrong_sample(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = with_wrong_sample(folder, tmp_path / "w", bent_leg)
    command = ["check-ground-truth", "--test-3d-keypoints", "--data"]
    assert cli.main([*command, str(folder)]) == 0
    assert cli.main([*command, str(wrong)]) == 1
    assert "2 of 3 samples passed" in capsys.readouterr().out
    assert cli.main([*command, str(wrong), "--sample-index", "0"]) == 0
    assert cli.main([*command, str(wrong), "--sample-index", "1"]) == 1
    loose = ["--sample-index", "1", "--tolerance-3d-keypoints", "9"]
    assert cli.main([*command, str(wrong), *loose]) == 0
    assert cli.main([*command, str(tmp_path / "absent")]) == 2
