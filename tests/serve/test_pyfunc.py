"""What MLflow asks of a model: tables in and out, JSON that is JSON, and 400 for what is bad."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from smil_ray.data.dataset import SmilDataset
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.uncertainty.calibration import calibrate_run
from smil_ray.tracking.models.files import model_files
from smil_ray.training.checkpoint.loading import load_regressor

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def model(insect_run: Path, insect_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The network of a run with intervals, as `mlflow.pyfunc.load_model` gives it."""
    import smil_ray.tracking.tracker  # noqa: F401 - says how mlflow is set up
    from smil_ray.tracking.models.log import save_model

    from mlflow.pyfunc import load_model  # isort: skip

    calibrate_run(load_regressor(insect_run), SmilDataset.from_path(insect_file))
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, model_files(insect_run))
    path = list(sys.path)
    loaded = load_model(str(folder))
    sys.path[:] = path
    return loaded


def test_table_is_that_of_predict_and_json_has_its_missing_values(
    model: Any, insect_run: Path, png: bytes, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png)
    predict_images(insect_run, [photo], tmp_path / "out")
    expected = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    rows = model.predict(pd.DataFrame({"image": [png]})).to_dict("records")
    assert [row["joint"] for row in rows] == [row["joint"] for row in expected]
    for name in ("x_px", "y_px", "z_cam", "interval_2d_px", "interval_3d_pct_bl"):
        assert [row[name] for row in rows] == [row[name] for row in expected], name
    assert rows[0]["interval_3d_pct_bl"] is None
    assert "NaN" not in json.dumps(rows, default=float)


def test_boxes_fields_of_view_and_parameters_are_taken(model: Any, png: bytes) -> None:
    asked = pd.DataFrame(
        {"image": [png, png], "box": [[8.0, 8.0, 40.0, 40.0], None], "fov_deg": [None, 40.0]}
    )
    found = model.predict(asked, params={"output": "parameters"})
    assert found["crop_side_px"].tolist()[1] == 64
    assert found["crop_side_px"].tolist()[0] != 64
    assert len(found["joint_rot"][0]) == 54
    assert len(model.predict(asked)) == 2 * 55
    example = model.predict(model.input_example)
    assert set(example.columns) <= {column.name for column in model.metadata.signature.outputs}


@pytest.mark.parametrize(
    ("row", "params", "reason"),
    [
        ({"image": b"no picture"}, {}, "picture 0: picture; expected JPEG"),
        ({"image": b""}, {}, "empty"),
        ({"box": [1.0, 2.0]}, {}, "picture 0: box; expected left, top, width, height"),
        ({"fov_deg": 190.0}, {}, "fov_deg"),
        ({}, {"output": "meshes"}, "expected joints or parameters"),
    ],
)
def test_what_cannot_be_used_is_status_400(
    model: Any, png: bytes, row: dict, params: dict, reason: str
) -> None:
    from mlflow.exceptions import MlflowException

    asked = pd.DataFrame({name: [value] for name, value in {"image": png, **row}.items()})
    with pytest.raises(MlflowException, match=reason) as raised:
        model.predict(asked, params=params)
    assert raised.value.get_http_status_code() == 400


def test_request_that_the_server_parses_is_answered(model: Any, png: bytes) -> None:
    """By the code of `mlflow models serve`, without a server."""
    from mlflow.pyfunc.scoring_server import invocations

    record = {"image": base64.b64encode(png).decode(), "box": [8, 8, 40, 40]}
    body = json.dumps({"dataframe_records": [record, {"image": record["image"]}]})
    answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    rows = json.loads(answer.response, parse_constant=pytest.fail)["predictions"]
    assert [row["picture"] for row in rows] == [0] * 55 + [1] * 55


def test_requirements_name_what_predicting_imports() -> None:
    from smil_ray.tracking.models.log import REQUIREMENTS, requirements

    pinned = requirements()
    assert len(pinned) == len(REQUIREMENTS)
    assert all("==" in line and "+" not in line for line in pinned)
