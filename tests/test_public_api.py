"""The public names, and the scripts of the seed's document as printed, up to import paths."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import smil_ray
from smil_ray import SMILImageRegressor, UnifiedSMILDataset, config

HEAVY = ("torch", "ray", "mlflow", "timm", "h5py", "cv2")


def test_import_of_the_package_loads_nothing_heavy() -> None:
    script = f"import sys, smil_ray; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


@pytest.mark.parametrize("name", smil_ray.__all__)
def test_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(smil_ray, name).__name__ in (name, "SmilDataset")
    assert name in dir(smil_ray)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SmilFitter'"):
        smil_ray.SmilFitter  # noqa: B018


def seed_script(path: Path, backbone: str, image_size: int) -> SimpleNamespace:
    """Sections "Basic Python Usage" and "Integration with SMALFitter", the device but the CPU."""
    dataset = UnifiedSMILDataset.from_path(
        path, rotation_representation="6d", backbone_name=backbone, input_size=image_size
    )
    x_data, y_data = dataset[0]
    model = SMILImageRegressor(
        device="cpu",
        data_batch=x_data,
        batch_size=1,
        shape_family=config.SHAPE_FAMILY,
        backbone_name=backbone,
        head_type="transformer_decoder",
        rotation_representation="6d",
    )
    predicted_params = model.predict_from_image(x_data["input_image_data"])
    model.set_smil_parameters(predicted_params, batch_idx=0)
    vertices, faces = model.get_mesh_vertices_faces()
    rendered_image = model.render_rgb_image()
    rendered_silhouette = model.render_silhouette()
    loss_dict = model.compute_prediction_loss(predicted_params, y_data)
    return SimpleNamespace(**locals())


def check_seed_script(found: SimpleNamespace, size: int) -> None:
    body = found.model.body
    shapes = {name: tuple(value.shape) for name, value in found.predicted_params.items()}
    assert shapes == {
        "global_rot": (1, 6),
        "joint_rot": (1, body.n_joints - 1, 6),
        "betas": (1, body.n_betas),
        "trans": (1, 3),
        "fov": (1, 1),
        "cam_rot": (1, 3, 3),
        "cam_trans": (1, 3),
    }
    assert found.vertices.shape == (body.n_verts, 3)
    assert found.faces.shape == body.faces.shape
    assert found.rendered_image.shape == (size, size, 3)
    assert found.rendered_silhouette.shape == (size, size)
    assert 0 < found.rendered_silhouette.mean() < 1
    assert {"global_rot", "joint_rot", "keypoint_2d", "keypoint_3d"} < set(found.loss_dict)
    assert all(bool(value.isfinite()) for value in found.loss_dict.values())


def test_seed_script_runs_as_printed_with_a_small_backbone(insect_file: Path) -> None:
    check_seed_script(seed_script(insect_file, "test_vit", 160), 160)


@pytest.mark.slow
def test_seed_script_runs_as_printed_with_its_own_backbone(insect_file: Path) -> None:
    check_seed_script(seed_script(insect_file, "vit_large_patch16_224", 224), 224)
