"""`SMILImageRegressor`: its losses, layouts of images, and mistakes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import collate
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError, DataError, SmilRayError
from smil_ray.render.camera import Camera
from smil_ray.results.regressor_api import SMILImageRegressor


@pytest.fixture(scope="module")
def dataset(insect_file: Path) -> SmilDataset:
    return SmilDataset.from_path(insect_file)


@pytest.fixture(scope="module")
def untrained() -> SMILImageRegressor:
    return SMILImageRegressor(backbone_name="test_vit", head_type="mlp")


@pytest.fixture(scope="module")
def trained(insect_run: Path) -> SMILImageRegressor:
    return SMILImageRegressor.from_checkpoint(insect_run)


def test_y_dictionary_batch_and_output_dictionary_are_the_same_target(
    trained: SMILImageRegressor, dataset: SmilDataset
) -> None:
    x, y = dataset[3]
    predicted = trained.predict_from_image(x["input_image_data"])
    of_y = trained.compute_prediction_loss(predicted, y)
    of_batch = trained.compute_prediction_loss(predicted, collate([dataset.sample(3)]))
    assert of_y.keys() == of_batch.keys()
    for term, value in of_batch.items():
        assert float(of_y[term]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), term
    of_itself = trained.compute_prediction_loss(predicted, predicted)
    assert float(of_itself["total"]) == pytest.approx(0.0, abs=1e-5)


def test_labels_as_prediction_have_no_loss(
    trained: SMILImageRegressor, dataset: SmilDataset
) -> None:
    batch = collate([dataset.sample(0)])
    loss = trained.compute_prediction_loss(batch.target, dataset[0][1])
    assert float(loss["total"]) == pytest.approx(0.0, abs=1e-4)


def test_prediction_can_be_optimised_further(
    trained: SMILImageRegressor, dataset: SmilDataset
) -> None:
    x, y = dataset[1]
    predicted = trained.predict_from_image(x["input_image_data"])
    predicted["betas"].requires_grad_()
    trained.compute_prediction_loss(predicted, y)["total"].backward()
    assert predicted["betas"].grad is not None


def test_same_picture_in_every_layout_gives_the_same_prediction(
    untrained: SMILImageRegressor,
) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    layouts = [rgb[None], rgb / 255.0, tensor, tensor[None].float() / 255.0]
    expected = untrained.predict_from_image(rgb)
    for image in layouts:
        found = untrained.predict_from_image(image)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, msg=name)


def test_pictures_of_another_shape_are_padded(untrained: SMILImageRegressor) -> None:
    rgb = np.full((90, 160, 3), 200, dtype=np.uint8)
    square = np.pad(rgb, ((35, 35), (0, 0), (0, 0)))
    found, expected = (untrained.predict_from_image(image) for image in (rgb, square))
    torch.testing.assert_close(found["trans"], expected["trans"])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.full((8, 8, 3), 255.0),
        np.full((8, 8, 3), np.nan),
        np.full((8, 8, 3), -0.5),
    ],
)
def test_what_is_not_an_rgb_picture_is_refused(
    untrained: SMILImageRegressor, image: np.ndarray
) -> None:
    with pytest.raises(DataError, match="Image; expected"):
        untrained.predict_from_image(image)


def test_animal_that_was_set_is_the_one_that_is_shown(insect_file: Path) -> None:
    dataset = SmilDataset.from_path(insect_file)
    api = SMILImageRegressor(backbone_name="test_vit", data_batch=dataset[0][0])
    with pytest.raises(DataError, match=r"No animal to show.*set_smil_parameters"):
        api.render_rgb_image()
    batch = collate(dataset.samples([4, 5]))
    with pytest.raises(DataError, match="batch_idx; expected below 2; found 2"):
        api.set_smil_parameters(batch.target, batch_idx=2)
    api.set_smil_parameters(batch.target.as_dict(), batch_idx=1)
    torch.testing.assert_close(api.get_joints(), batch.keypoints_3d[1], atol=1e-4, rtol=1e-4)
    silhouette = api.render_silhouette()
    assert silhouette.shape == (32, 32)
    rows, columns = np.nonzero(silhouette)
    centre = np.array([columns.mean(), rows.mean()]) / 32
    trunk = batch.keypoints_2d[1].mean(dim=0).numpy()
    assert np.abs(centre - trunk).max() < 0.15


def test_mesh_follows_the_body_settings_of_the_checkpoint(insect_run: Path) -> None:
    api = SMILImageRegressor.from_checkpoint(insect_run)
    model = SmilModel.builtin()
    params = SmilParams(
        global_rot=torch.zeros(1, 3),
        joint_rot=torch.zeros(1, model.n_joints - 1, 3),
        betas=torch.ones(1, model.n_betas),
        trans=torch.zeros(1, 3),
        fov=torch.full((1, 1), 30.0),
        cam_rot=torch.eye(3)[None],
        cam_trans=torch.zeros(1, 3),
    )
    shown = {}
    for rest in ("static", "regressed"):
        body = api.config.body.model_copy(update={"rest_joints": rest})
        api.config = api.config.model_copy(update={"body": body})
        api.set_smil_parameters(params)
        shown[rest] = api.get_joints()
        torch.testing.assert_close(shown[rest], model.pose(params, rest=rest).joints[0])
    assert not torch.allclose(shown["static"], shown["regressed"], atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_name": "resnet_of_dreams"}, "expected a timm model name"),
        ({"head": "mlp"}, "unknown option 'head'; expected freeze_backbone, weights, hidden_dim"),
    ],
)
def test_unknown_setting_is_a_configuration_error(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SMILImageRegressor(**{"backbone_name": "test_vit", **changes})


def place_px(params: dict[str, torch.Tensor], point: torch.Tensor, side: int) -> torch.Tensor:
    """Where a point of the reference frame is in the padded square, pixels."""
    xy, _ = Camera.from_params(SmilParams(**params)).project(point[None, None])
    return xy[0, 0] * side


def test_prediction_in_a_box_refers_to_the_whole_image(trained: SMILImageRegressor) -> None:
    """The network sees the same pixels, so poses are equal; places and cameras are the image's."""
    rng = np.random.default_rng(4)
    part = rng.integers(0, 255, (54, 54, 3), dtype=np.uint8)
    image = np.zeros((120, 200, 3), dtype=np.uint8)
    image[40:94, 100:154] = part
    of_part = trained.predict_from_image(part)
    # The default margin is 0.35, so this box has the square of `part` around it.
    found = trained.predict_from_image(image, box=[107, 47, 40, 40])
    for name in ("global_rot", "joint_rot", "betas"):
        torch.testing.assert_close(found[name], of_part[name], atol=1e-5, rtol=1e-4)
    half, half_part = (torch.tan(torch.deg2rad(p["fov"]) / 2) for p in (found, of_part))
    torch.testing.assert_close(half / half_part, torch.full_like(half, 200 / 54))
    root, root_part = (trained.body.pose(SmilParams(**p)).joints[0, 0] for p in (found, of_part))
    torch.testing.assert_close(
        place_px(found, root, 200) - torch.tensor([0.0, 40.0]),  # Padding above the image.
        place_px(of_part, root_part, 54) + torch.tensor([100.0, 40.0]),
        atol=1e-2,
        rtol=1e-4,
    )


def test_auto_box_and_boxes_for_each_image_give_one_result_each(
    trained: SMILImageRegressor, dataset: SmilDataset
) -> None:
    images = np.stack([dataset.sample(i).image for i in range(2)])
    assert len(trained.predict_from_image(images, box="auto")["betas"]) == 2
    both = trained.predict_from_image(images, box=[[2, 3, 20, 20], [4, 4, 25, 22]])
    second = trained.predict_from_image(images[1], box=(4, 4, 25, 22))
    torch.testing.assert_close(both["betas"][1:], second["betas"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"box": "whole"}, "box; expected auto, or x, y, width, height; found 'whole'"),
        ({"box": [1, 2, 3]}, "box; expected x, y, width, height"),
        ({"box": [[1, 2, 3, 4]] * 2}, "for each of 1 images"),
        ({"box": [90, 90, 5, 5]}, "box of image 0: box outside the picture"),
        ({"box": [1, 1, 0, 5]}, "width and height above 0"),
        ({"fov_deg": 30.0, "intrinsics": [9, 9, 4, 4]}, "expected one of them"),
        ({"fov_deg": 190.0}, "degrees between 0 and 180"),
        ({"intrinsics": [9, 9, 4]}, "intrinsics; expected fx, fy, cx, cy"),
    ],
)
def test_boxes_and_cameras_that_make_no_sense_are_refused(
    trained: SMILImageRegressor, arguments: dict, message: str
) -> None:
    with pytest.raises(SmilRayError, match=message):
        trained.predict_from_image(np.zeros((32, 32, 3), np.uint8), **arguments)
