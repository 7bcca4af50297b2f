"""The ground-truth test on built-in data: nothing is lost between labels, body and loss."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from smil_ray.config import Config
from smil_ray.core.batch import Sample
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.errors import DataError
from smil_ray.orchestration.synth import synthesize
from smil_ray.results.ground_truth import check_ground_truth, draw_alignment
from tests.insect_data import write_insects

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("synth")
    synthesize(place, SynthOptions(samples=4, image_size=128, seed=3, name="tiny"), 1)
    return place


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    data = SmilDataset.from_path(folder, model=SmilModel.builtin(), input_size=SIZE)
    return data.samples(range(len(data)))


@pytest.fixture(scope="module")
def wrong(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose samples 0 to 2 are wrong in 2D, in 3D and in a rotation."""
    shifted = replace(samples[0], keypoints_2d=samples[0].keypoints_2d + np.float32(0.05))
    far = samples[1].keypoints_3d.copy()
    far[20] += 0.3
    turned = samples[2].joint_rot.copy()
    turned[0] += np.float32(0.8)
    broken = [
        shifted,
        replace(samples[1], keypoints_3d=far),
        replace(samples[2], joint_rot=turned),
        samples[3],
    ]
    place = tmp_path_factory.mktemp("wrong") / "wrong.h5"
    return write_insects(place, broken, size=SIZE)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": {"rotation_representation": "axis_angle"}},
        {"loss": {"normalise": False}},
    ],
)
def test_built_in_data_agree_with_the_built_in_model(folder: Path, settings: dict) -> None:
    model = SmilModel.builtin()
    data = SmilDataset.from_path(folder, model=model, input_size=SIZE)
    checks = check_ground_truth(
        data, model, range(4), tolerance_3d=1e-4, config=Config(**settings)
    )
    assert [check.name for check in checks] == list(data.names)
    for check in checks:
        assert check.passed
        assert check.parameter_loss < 1e-4
        assert check.error_2d_px < 0.01
        assert check.largest_3d < 1e-4


def test_wrong_samples_fail_and_the_right_one_passes(wrong: Path) -> None:
    model = SmilModel.builtin()
    data = SmilDataset.from_path(wrong, model=model)
    checks = check_ground_truth(data, model, range(4))
    assert [check.passed for check in checks] == [False, False, False, True]
    assert checks[0].error_2d_px == pytest.approx(0.05 * np.sqrt(2) * SIZE, rel=1e-3)
    assert checks[1].largest_3d == pytest.approx(0.3 * np.sqrt(3), rel=1e-3)
    only_2d = check_ground_truth(data, model, [1, 3], test_3d=False)
    assert [check.passed for check in only_2d] == [True, True]


def test_alignment_picture_shows_the_error(wrong: Path) -> None:
    model = SmilModel.builtin()
    data = SmilDataset.from_path(wrong, model=model)
    good, bad = (check_ground_truth(data, model, [index])[0] for index in (3, 0))
    picture = draw_alignment(data, 3, good)
    assert picture.shape == (512, 512, 3)
    assert picture.dtype == np.uint8
    assert (draw_alignment(data, 3, replace(bad, projected=good.projected + 0.1)) != picture).any()


def test_samples_without_a_pose_and_indices_beyond_the_data_are_errors(
    samples: list[Sample], tmp_path: Path
) -> None:
    model = SmilModel.builtin()
    lacking = replace(
        samples[0],
        global_rot=np.full(3, np.nan, np.float32),
        present=samples[0].present - {"global_rot"},
    )
    data = SmilDataset.from_path(write_insects(tmp_path / "a.h5", [lacking], size=SIZE))
    with pytest.raises(DataError, match=r"has no global_rot; the ground-truth test needs"):
        check_ground_truth(data, model, [0])
    with pytest.raises(DataError, match="Sample index 1; expected 0 to 0"):
        check_ground_truth(data, model, [1])


def test_command_fails_where_a_sample_is_wrong_and_draws_what_it_found(
    wrong: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check-ground-truth", "--data", str(wrong), "--test-3d-keypoints"]
    plots = tmp_path / "plots"
    assert main([*command, "--sample_index", "0", "--plots", str(plots)]) == 1
    said = capsys.readouterr().out
    assert "0 of 1 samples passed" in said
    assert "--rest-joints static" in said
    assert [path.name for path in plots.iterdir()] == ["alignment_00000.png"]
    assert main([*command, "--tolerance_3d_keypoints", "0.6", "--sample-index", "1"]) == 0
    assert main(command) == 1
    capsys.readouterr()
    assert main(["check-ground-truth", "--data", str(folder), "--test_3d_keypoints"]) == 0
    assert "4 of 4 samples passed" in capsys.readouterr().out


@pytest.mark.parametrize(("rest", "code"), [("auto", 0), ("regressed", 0), ("static", 1)])
def test_command_poses_with_the_rest_joints_that_were_asked_for(
    folder: Path, rest: str, code: int
) -> None:
    """The built-in data have joints that follow the shape, so that static ones miss them."""
    command = ["check-ground-truth", "--data", str(folder), "--test-3d-keypoints"]
    tolerance = ["--tolerance-3d-keypoints", "0.01"]
    assert main([*command, *tolerance, "--rest-joints", rest]) == code
