"""What `mlflow.pyfunc.load_model` and `mlflow models serve` load of a logged model, and ask.

MLflow imports this module by its name, which stands in the model's `MLmodel` file, from the copy
of the package that lies in the model. Nothing is unpickled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException

from smil_ray.errors import SmilRayError
from smil_ray.results.prediction.output.sent_pictures import PictureTables, SentPicture
from smil_ray.serve.request_limit import limit_scoring_server
from smil_ray.training.checkpoint.loading import load_regressor

if TYPE_CHECKING:
    import pandas as pd

OUTPUTS = ("joints", "parameters")


class PictureModel:
    """A trained network as MLflow calls it.

    Args:
        run: Folder of the network, as `tracking.models.files` lists it.
    """

    def __init__(self, run: Path) -> None:
        self._tables = PictureTables(load_regressor(run, device="auto"))

    def predict(
        self, model_input: "pd.DataFrame", params: Mapping[str, Any] | None = None
    ) -> "pd.DataFrame":
        """Return the table of joints, or with `params={"output": "parameters"}` of parameters.

        Args:
            model_input: One row a picture: `image` (bytes of a picture file), and if they are
                known `box` (left, top, width, height; pixels) and `fov_deg` (vertical).
            params: See `OUTPUTS`.

        Raises:
            MlflowException: Something cannot be used; a server answers with status 400.
        """
        output = str((params or {}).get("output", OUTPUTS[0]))
        try:
            pictures = [_sent(number, row) for number, row in enumerate(_rows(model_input))]
            if output == OUTPUTS[0]:
                table = self._tables.joints(pictures)
            elif output == OUTPUTS[1]:
                table = self._tables.parameters(pictures)
            else:
                raise SmilRayError("params.output", expected=" or ".join(OUTPUTS), found=output)
        except SmilRayError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return _with_none(table.to_pandas())


def _load_pyfunc(data_path: str) -> PictureModel:  # pyright: ignore[reportUnusedFunction] - MLflow
    """Return the model of a folder; the name is MLflow's."""
    model = PictureModel(Path(data_path))
    limit_scoring_server(float(MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get()))
    return model


def _rows(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _sent(number: int, row: Mapping[str, Any]) -> SentPicture:
    image = row.get("image")
    if not isinstance(image, bytes):
        raise SmilRayError(
            f"picture {number}: image",
            expected="the bytes of a picture file (in JSON base64)",
            found=type(image).__name__,
        )
    return SentPicture(image, _box(number, row.get("box")), _number(number, row.get("fov_deg")))


def _box(number: int, value: Any) -> tuple[float, float, float, float] | None:
    if value is None or (np.ndim(value) == 0 and value != value):
        return None
    try:
        left, top, width, height = (float(each) for each in value)
    except (TypeError, ValueError):
        raise SmilRayError(
            f"picture {number}: box",
            expected="left, top, width, height in pixels, or nothing",
            found=repr(value)[:100],
        ) from None
    return left, top, width, height


def _number(number: int, value: Any) -> float | None:
    if value is None or value != value:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SmilRayError(
            f"picture {number}: fov_deg", expected="degrees, or nothing", found=repr(value)[:100]
        ) from None


def _with_none(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose missing numbers are None: NaN is no JSON."""
    for name in table.columns[table.isna().any()]:
        column = table[name].astype(object)
        table[name] = column.where(column.notna(), None)
    return table
