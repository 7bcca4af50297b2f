"""Files that people's own tools wrote, where they are at hand: each is read, or named as it is."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray import SmilDataset, SmilModel
from smil_ray.body.model_file.reading import read_model_file
from smil_ray.cli.main import main
from smil_ray.data import image_io
from smil_ray.errors import DataError, ModelFileError
from smil_ray.results.prediction.images import find_images
from smil_ray.results.prediction.predict import predict_images
from tests.results.prediction.prediction_files import record

PICTURES = (
    *("upright.jpg", "exif6_stored_rotated.jpg", "gray12in16.png", "gray12in16.tif"),
    *("plain.tif", "plain.webp", "plain.bmp"),
)


@pytest.fixture(scope="module")
def cases(real_data: Path) -> Path:
    folder = real_data / "cases"
    if not folder.is_dir():
        pytest.skip("no foreign files: SMIL_RAY_REAL_DATA names a folder without `cases/`")
    return folder


@pytest.mark.slow
def test_every_foreign_file_has_its_verdict(
    cases: Path, insect_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is left out: each file of the folder is a model, a picture, or refused by name."""
    verdicts: dict[str, str] = {}
    for path in sorted(cases.iterdir()):
        if path.suffix in (".pkl", ".npz"):
            try:
                verdicts[path.name] = f"{SmilModel.open(path).n_betas} betas"
            except ModelFileError as error:
                verdicts[path.name] = str(error)
        elif path.name in PICTURES:
            report = predict_images(insect_run, [path], tmp_path / path.name)
            verdicts[path.name] = ", ".join(report.done) or str(report.failed)
    assert verdicts.pop("lfs_pointer.pkl").startswith(f"{cases / 'lfs_pointer.pkl'}: a Git LFS")
    assert verdicts == {
        **{name: "4 betas" for name in ("bytes_keys.pkl", "smpl_by_chumpy.pkl")},
        "smplx_layout.npz": "4 betas",
        "no_shape.pkl": "0 betas",
        **{name: Path(name).stem for name in PICTURES},
    }
    seen = {*verdicts, "lfs_pointer.pkl", "damaged_hangs.h5", "README.md"}
    assert {path.name for path in cases.iterdir()} == seen
    out = tmp_path / "folder"
    assert main(["predict", str(insect_run), str(cases), "--out", str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(PICTURES)} of {len(PICTURES)} done; results in" in said
    assert "7 left out, no image: README.md, " in said


def test_models_of_one_content_in_three_layouts_are_equal(cases: Path) -> None:
    expected = read_model_file(cases / "smplx_layout.npz")
    with np.load(cases / "smplx_layout.npz") as arrays:
        np.testing.assert_allclose(expected.v_template, arrays["v_template"], atol=1e-12)
        np.testing.assert_allclose(expected.rest_joints, arrays["J"], atol=1e-12)
    for name in ("smpl_by_chumpy.pkl", "bytes_keys.pkl"):
        found = read_model_file(cases / name)
        assert found.skeleton.parents == expected.skeleton.parents
        for field in ("v_template", "rest_joints", "weights", "shapedirs", "posedirs"):
            np.testing.assert_allclose(
                getattr(found, field), getattr(expected, field), atol=1e-12, err_msg=field
            )
    assert expected.posedirs is not None
    assert expected.skeleton.n_joints == 5


def test_photo_stored_on_its_side_is_predicted_like_the_upright_one(
    cases: Path, insect_run: Path, tmp_path: Path
) -> None:
    paths = [cases / "exif6_stored_rotated.jpg", cases / "upright.jpg"]
    turned, upright = (image_io.read_upright(path).rgb.astype(int) for path in paths)
    assert turned.shape == upright.shape == (90, 120, 3)
    assert np.abs(turned - upright).mean() < 2
    assert image_io.read_rgb(paths[0]).shape == (120, 90, 3)
    predict_images(insect_run, paths, tmp_path)
    found, expected = (record(tmp_path, path.stem)["joints_2d_px"] for path in paths)
    assert np.abs(found - expected).max() < 2.0


def test_same_scene_in_other_formats_has_the_same_pixels(cases: Path) -> None:
    plain = image_io.read_rgb(cases / "plain.tif").astype(int)
    for name, limit in (("plain.bmp", 1e-9), ("plain.webp", 8)):
        assert np.abs(image_io.read_rgb(cases / name) - plain).mean() < limit
    deep = [image_io.read_upright(cases / f"gray12in16.{suffix}") for suffix in ("png", "tif")]
    np.testing.assert_array_equal(deep[0].rgb, deep[1].rgb)
    assert (deep[0].rgb.min(), deep[0].rgb.max()) == (0, 255)
    assert deep[0].notes == ("16 bits: 432 to 3056 became 0 to 255",)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_damaged_file_that_hangs_the_library_is_one_sentence(cases: Path) -> None:
    with pytest.raises(DataError, match=r"damaged_hangs\.h5"):
        SmilDataset.from_path(cases / "damaged_hangs.h5")


def test_folder_of_foreign_files_names_what_it_leaves_out(cases: Path) -> None:
    found = find_images([cases])
    assert sorted(path.name for path in found.paths) == sorted(PICTURES)
    assert len(found.paths) + len(found.left_out) == len(list(cases.iterdir()))
