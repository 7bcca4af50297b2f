"""Synthetic samples: pure functions of seed and index, and read back as what was put in."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.random import SeedSequence, default_rng

from smil_ray.body.model_file.reading import write_npz
from smil_ray.core import rotations
from smil_ray.core.batch import LABELS, collate
from smil_ray.core.params import (
    SmilParams,
    log_scales_from_weights,
    translations_from_weights,
)
from smil_ray.data.replicant.reading import ReadOptions, find_entries, read_samples
from smil_ray.data.synthetic.animal import PosedAnimal, RenderBody
from smil_ray.data.synthetic.annotations import CameraTruth
from smil_ray.data.synthetic.samples import (
    SynthOptions,
    batch_file,
    draw_scene,
    open_render_body,
    render_sample,
)
from smil_ray.errors import ConfigError
from tests.data.synthetic.quadruped import quadruped

OPTIONS = SynthOptions(samples=4, image_size=128, seed=11, name="bugs", subjects=2)


@pytest.fixture(scope="module")
def render_body() -> RenderBody:
    return RenderBody.open("builtin")


@pytest.fixture(scope="module")
def folder(render_body: RenderBody, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bugs")
    for index in range(OPTIONS.samples):
        for name, content in render_sample(render_body, OPTIONS, index).named().items():
            (out / name).write_bytes(content)
    name, content = batch_file(OPTIONS)
    (out / name).write_bytes(content)
    return out


def truth(render_body: RenderBody, index: int) -> tuple[list[PosedAnimal], CameraTruth]:
    """What sample `index` was drawn from."""
    scene, look = SeedSequence([OPTIONS.seed, index]).spawn(4)[:2]
    return draw_scene(default_rng(scene), default_rng(look), render_body, OPTIONS)


def picture(content: bytes) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return decoded


def test_sample_files_have_replicants_names_and_formats(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    wanted = {f"bugs_{i:02d}{end}" for i in range(4) for end in (".JPG", "_ID.png", ".json")}
    assert names == wanted | {"_BatchData_bugs.json"}
    ids = picture((folder / "bugs_00_ID.png").read_bytes())
    assert ids.shape == (128, 128, 4)
    assert ids[..., 2].max() >= 1  # OpenCV gives blue first: the id is in red.
    assert not ids[..., :2].any()
    assert (ids[..., 3] == 255).all()
    assert picture((folder / "bugs_00.JPG").read_bytes()).shape == (128, 128, 3)
    batch = json.loads((folder / "_BatchData_bugs.json").read_text())
    assert batch["Iterations"] == 4
    assert batch["Image Resolution"] == {"x": 128, "y": 128}
    assert list(batch["Subject Variations"]) == ["1", "2"]


@pytest.mark.parametrize("index", range(OPTIONS.samples))
def test_reader_gives_back_the_parameters_that_were_drawn(
    folder: Path, render_body: RenderBody, index: int
) -> None:
    animals, camera = truth(render_body, index)
    result = read_samples(find_entries(folder)[index], render_body.model, ReadOptions())
    assert not result.notes
    assert not result.rejected
    assert len(result.samples) == len(animals)
    for sample, animal in zip(result.samples, animals, strict=True):
        turns = rotations.axis_angle_to_matrix(
            torch.from_numpy(np.concatenate([sample.global_rot[None], sample.joint_rot]))
        ).numpy()
        told = animal.truth
        drawn = np.concatenate([told.root_rotation[None], told.joint_rotations[1:]])
        np.testing.assert_allclose(turns, drawn, atol=1e-5)
        np.testing.assert_allclose(sample.keypoints_3d, told.joints, atol=1e-5)
        np.testing.assert_allclose(sample.trans, told.joints[0], atol=1e-5)
        np.testing.assert_allclose(sample.betas, told.betas, atol=1e-5)
        np.testing.assert_allclose(sample.scale_weights, told.scale_weights, atol=1e-5)
        np.testing.assert_allclose(sample.trans_weights, told.trans_weights, atol=1e-4)
        np.testing.assert_allclose(sample.cam_rot, camera.rotation, atol=1e-6)
        np.testing.assert_allclose(sample.cam_trans, camera.translation, atol=1e-5)
        assert sample.fov == pytest.approx(camera.fov_deg, abs=1e-6)
        assert sample.present == frozenset(LABELS)


@pytest.mark.parametrize("index", range(OPTIONS.samples))
def test_body_model_posed_with_labels_hits_the_written_points(
    folder: Path, render_body: RenderBody, index: int
) -> None:
    """Forward kinematics gives 3DPos, and its projection 2DPos to a thousandth of a pixel."""
    samples = read_samples(find_entries(folder)[index], render_body.model, ReadOptions()).samples
    batch, model = collate(samples), render_body.model.to(dtype=torch.float32)
    assert model.scaledirs is not None
    assert model.transdirs is not None
    target = batch.target
    params = SmilParams(
        **target.as_dict()
        | {
            "log_beta_scales": log_scales_from_weights(batch.scale_weights, model.scaledirs),
            "betas_trans": translations_from_weights(batch.trans_weights, model.transdirs),
        }
    )
    joints = model.pose(params).joints
    torch.testing.assert_close(joints, batch.keypoints_3d, atol=1e-5, rtol=0.0)
    focal = 0.5 / torch.tan(torch.deg2rad(target.fov) / 2.0)
    seen = 0.5 - focal[:, None] * joints[..., :2] / joints[..., 2:]
    assert float((seen - batch.keypoints_2d).abs().max()) * OPTIONS.image_size < 1e-3


def test_same_seed_and_index_give_the_same_bytes(folder: Path, render_body: RenderBody) -> None:
    for name, content in render_sample(render_body, OPTIONS, 2).named().items():
        assert (folder / name).read_bytes() == content


def test_other_seed_or_index_gives_another_picture(folder: Path, render_body: RenderBody) -> None:
    other = OPTIONS.model_copy(update={"seed": 12})
    here = render_sample(render_body, OPTIONS, 2)
    assert render_sample(render_body, other, 2).image != here.image
    assert render_sample(render_body, OPTIONS, 3).image != here.image


def test_more_clutter_leaves_pose_and_camera_alone(render_body: RenderBody) -> None:
    plain = OPTIONS.model_copy(update={"occlusion": 0.0, "noise": 0.0, "motion_blur": 0.0})
    hard = OPTIONS.model_copy(update={"occlusion": 1.0, "noise": 1.0, "motion_blur": 1.0})
    a, b = render_sample(render_body, plain, 1), render_sample(render_body, hard, 1)
    assert a.annotation == b.annotation
    assert a.image != b.image
    free, hidden = picture(a.mask)[..., 2], picture(b.mask)[..., 2]
    assert ((hidden == 0) | (hidden == free)).all()
    assert (hidden > 0).sum() < (free > 0).sum()


def test_unoccluded_joints_lie_on_or_beside_their_own_mask(render_body: RenderBody) -> None:
    plain = SynthOptions(samples=3, image_size=160, occlusion=0.0, out_of_frame=0.0)
    for index in range(3):
        files = render_sample(render_body, plain, index)
        near = cv2.dilate(picture(files.mask)[..., 2], np.ones((7, 7), np.uint8)) > 0
        subject = json.loads(files.annotation)["iterationData"]["subject Data"][0]["1"]
        points = np.array([list(j["2DPos"].values()) for j in subject["keypoints"].values()])
        column, row = np.clip(points.astype(int), 0, 159).T
        assert near[row, column].mean() > 0.9


def test_index_is_as_wide_as_the_number_of_samples_needs() -> None:
    assert SynthOptions(samples=7, name="a").stem(3) == "a_03"
    assert SynthOptions(samples=100, name="a").stem(3) == "a_03"
    assert SynthOptions(samples=101, name="a").stem(3) == "a_003"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples": 0}, "synth samples"),
        ({"name": "../escape"}, "synth name"),
        ({"name": ".hidden"}, "synth name"),
        ({"occlusion": 1.5}, "synth occlusion"),
        ({"colour": "red"}, "synth colour"),
    ],
)
def test_wrong_option_is_refused_in_one_sentence(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthOptions(**values)


def write_samples(options: SynthOptions, out: Path) -> RenderBody:
    render_body = open_render_body(options)
    for index in range(options.samples):
        for name, content in render_sample(render_body, options, index).named().items():
            (out / name).write_bytes(content)
    return render_body


def reprojection_px(folder: Path, render_body: RenderBody, size: int) -> float:
    """Largest distance of 2DPos from the joints of the model posed with what the reader found."""
    worst = 0.0
    for entry in find_entries(folder):
        result = read_samples(entry, render_body.model, ReadOptions())
        assert not result.notes
        assert not result.rejected
        batch = collate(result.samples)
        model, target = render_body.model.to(dtype=torch.float32), batch.target
        extra = {}
        if model.scaledirs is not None and model.transdirs is not None:
            extra = {
                "log_beta_scales": log_scales_from_weights(batch.scale_weights, model.scaledirs),
                "betas_trans": translations_from_weights(batch.trans_weights, model.transdirs),
            }
        joints = model.pose(SmilParams(**target.as_dict() | extra)).joints
        focal = 0.5 / torch.tan(torch.deg2rad(target.fov) / 2.0)
        seen = 0.5 - focal[:, None] * joints[..., :2] / joints[..., 2:]
        worst = max(worst, float((seen - batch.keypoints_2d).abs().max()) * size)
    return worst


@pytest.mark.parametrize("along_z", [False, True])
def test_animal_with_other_joints_is_read_back_and_stands_on_its_feet(
    tmp_path: Path, along_z: bool
) -> None:
    file = write_npz(quadruped(along_z=along_z), tmp_path / "quadruped.npz")
    (tmp_path / "out").mkdir()
    options = SynthOptions(samples=4, image_size=96, model=str(file), occlusion=0.0)
    render_body = write_samples(options, tmp_path / "out")
    assert reprojection_px(tmp_path / "out", render_body, 96) < 1e-3
    heads_up = [
        (draw.truth.root_rotation @ render_body.standing[2])[2]
        for seed in range(4)
        for draw in draw_scene(default_rng(seed), default_rng(seed), render_body, options)[0]
    ]
    assert np.mean(heads_up) > 0.7


def test_stick_insect_is_read_back_to_a_thousandth_of_a_pixel(
    real_data: Path, tmp_path: Path
) -> None:
    stick = str(real_data / "models" / "SMILy_STICK.pkl")
    options = SynthOptions(samples=3, image_size=192, model=stick)
    render_body = write_samples(options, tmp_path)
    assert reprojection_px(tmp_path, render_body, 192) < 1e-3


def test_joint_limits_of_a_file_hold_in_every_pose(tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("b_h: [-5, 5]\nl_1_co_l: {z: [0, 10]}\n")
    body = open_render_body(SynthOptions(joint_limits=str(limits)))
    index = body.model.skeleton.index
    degrees = np.degrees([body.poses.draw(default_rng(seed)) for seed in range(20)])
    assert np.abs(degrees[:, index["b_h"] - 1]).max() <= 5.0 + 1e-9
    swing = degrees[:, index["l_1_co_l"] - 1, 2]
    assert swing.min() >= -1e-9
    assert swing.max() <= 10.0 + 1e-9
    assert np.abs(degrees[:, index["l_1_co_r"] - 1, 2]).max() > 20.0
