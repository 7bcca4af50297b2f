"""A run's network as a model of MLflow: signature, example, package, and the run's own files.

`mlflow.pyfunc` loads it through `smil_ray.serve.pyfunc`; nothing in it is a pickle. The package's
modules lie in the model, so that it answers where `smil_ray` is not installed. The large files are
linked, not copied, before they go to the server.
"""

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema

from smil_ray.tracking.models.files import RUN_FOLDER, ModelFiles
from smil_ray.tracking.sync.metrics import entity_name, read_metrics
from smil_ray.tracking.sync.tags import data_input

# MLflow warns of its own type hints when this part of it is imported.
warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
from mlflow.pyfunc import save_model as save_pyfunc  # noqa: E402

LOADER = "smil_ray.serve.pyfunc"
FINGERPRINT_TAG = "smil_ray.fingerprint"
REQUIREMENTS = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "pandas", "pyarrow", "numba", "roma"),
    *("opencv-python-headless", "simplejpeg", "pyspng", "h5py", "safetensors", "jaxtyping"),
    *("pydantic", "pyyaml", "orjson", "filelock", "rich", "mlflow"),
    "huggingface_hub",
)
"""Packages that predicting imports; the model asks for the versions that are installed here."""
_PACKAGE = Path(__file__).parents[2]
_STAGING = ".model-"
_NOT_SENT = ("cli", "export", "orchestration")
"""Folders of the package that predicting never imports."""


def log_model(client: MlflowClient, experiment_id: str, run_id: str, model: ModelFiles) -> str:
    """Send a network as the output of a run and return the model's identifier, `m-...`.

    One that was sent in part is gone on with, and one that is there as it is stays as it is.

    Args:
        client: The server.
        experiment_id: Of the run.
        run_id: The run on the server.
        model: What is sent.

    Raises:
        MlflowException: The server is away or refuses it.
        OSError: A file cannot be read, or there is no room.
    """
    entity = _find_or_create(client, experiment_id, run_id, model)
    if entity.status == LoggedModelStatus.READY:
        return entity.model_id
    for left in model.folder.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)  # Of a process that died.
    # In the run's folder, so that its files can be linked.
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=model.folder) as place:
        folder = Path(place) / "model"
        save_model(folder, model, entity, run_id)
        client.log_model_artifacts(entity.model_id, str(folder))
    known = client.get_run(run_id).outputs
    if known is None or entity.model_id not in {each.model_id for each in known.model_outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(entity.model_id, model.step)])
    metrics = _metrics(model, entity.model_id, run_id)
    if metrics:
        client.log_batch(run_id, metrics=metrics)
    client.finalize_logged_model(entity.model_id, LoggedModelStatus.READY)
    return entity.model_id


def save_model(
    folder: Path, model: ModelFiles, entity: LoggedModel | None = None, run_id: str | None = None
) -> None:
    """Write a network as a folder in MLflow's format."""
    about = Model(run_id=run_id)
    if entity is not None:
        about = Model(
            artifact_path=entity.artifact_location,
            model_uuid=entity.model_id,
            run_id=run_id,
            model_id=entity.model_id,
        )
    with tempfile.TemporaryDirectory(prefix=".code-", dir=folder.parent) as place:
        code = Path(place) / _PACKAGE.name
        _copy_package(code)
        run = Path(place) / Path(RUN_FOLDER).name
        run.mkdir()
        save_pyfunc(
            folder,
            loader_module=LOADER,
            data_path=str(run),
            code_paths=[str(code)],
            mlflow_model=about,
            signature=SIGNATURE,
            input_example=(input_example(), {"output": "joints"}),
            pip_requirements=requirements(),
        )
    for name, path in model.files.items():
        target = folder / RUN_FOLDER / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(path, target)
    about.model_size_bytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    about.save(str(folder / "MLmodel"))


def input_example() -> pd.DataFrame:
    """Return a request for one picture (grey, 64 x 48), with a box and a field of view."""
    grey = np.tile(np.linspace(96, 192, 64).astype(np.uint8), (48, 1))
    image = cv2.imencode(".png", grey)[1].tobytes()
    box = [16.0, 8.0, 32.0, 32.0]
    # MLflow compares the names in a way that pandas warns of where they are not objects.
    names = pd.Index(["image", "box", "fov_deg"], dtype=object)
    return pd.DataFrame([[image, box, 30.0]], columns=names)


def requirements(packages: Sequence[str] = REQUIREMENTS) -> list[str]:
    """Return `package==version` for what is installed here, without local labels of builds."""
    found = []
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):  # E.g. another build of OpenCV.
            found.append(f"{name}=={metadata.version(name).partition('+')[0]}")
    return found


def _copy_package(target: Path) -> None:
    for path in sorted(_PACKAGE.rglob("*.py")):
        within = path.relative_to(_PACKAGE)
        if within.parts[0] not in _NOT_SENT:
            (target / within).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / within)


def _find_or_create(
    client: MlflowClient, experiment_id: str, run_id: str, model: ModelFiles
) -> LoggedModel:
    same = f"tags.`{FINGERPRINT_TAG}` = '{model.fingerprint}'"
    for found in client.search_logged_models([experiment_id], filter_string=same):
        if found.source_run_id == run_id:
            return found
    return client.create_logged_model(
        experiment_id,
        name=model.name,
        source_run_id=run_id,
        tags={FINGERPRINT_TAG: model.fingerprint},
        params=dict(model.params),
        model_type="smil_ray",
    )


def _metrics(model: ModelFiles, model_id: str, run_id: str) -> list[Metric]:
    """Return the validation figures of the checkpoint's epoch, as the run has them already."""
    points = [
        point
        for row in read_metrics(model.folder)
        if row.step == model.step
        for point in row.points()
        if point.key.startswith("val/")
    ]
    data = data_input(model.folder)
    named = {} if data is None else {"dataset_name": data.name, "dataset_digest": data.digest}
    return [
        Metric(
            entity_name(p.key),
            p.value,
            p.time_ms,
            p.step,
            model_id=model_id,
            run_id=run_id,
            **named,
        )
        for p in points
    ]


def _columns(*names: str, required: bool = True) -> list[ColSpec]:
    return [ColSpec(DataType.double, name, required=required) for name in names]


SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.binary, "image"),
            # No array of `double`: MLflow refuses whole numbers and rows without a box there.
            ColSpec(AnyType(), "box", required=False),
            ColSpec(DataType.double, "fov_deg", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.long, "picture"),
            ColSpec(DataType.string, "joint"),
            *_columns("x_px", "y_px", "x_cam", "y_cam", "z_cam"),
            *_columns("confidence", "interval_2d_px", "interval_3d_pct_bl", required=False),
        ]
    ),
    params=ParamSchema([ParamSpec("output", DataType.string, "joints")]),
)
"""A row a picture in; a row a picture and joint out, unless `output` is `parameters`."""


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links; a full disk is noticed by the copy.
        shutil.copyfile(source, target)
