"""The page about one run: one HTML file that needs no network and no other file."""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from smil_ray.data.dataset import SmilDataset
from smil_ray.results.evaluate import evaluate, held_out_indices
from smil_ray.results.evaluation.captions import SHOWN
from smil_ray.results.evaluation.record import Evaluation
from smil_ray.results.pages import data_address, render
from smil_ray.results.prediction_sheet import write_prediction_sheet
from smil_ray.results.report._bars import joints_plot
from smil_ray.results.report._evaluation import embedded, evaluation_figures
from smil_ray.results.report._facts import fact_rows
from smil_ray.results.report._plots import Curve, learning_curves
from smil_ray.results.run_plots import write_run_plots
from smil_ray.results.uncertainty.calibration import joint_errors, run_intervals, run_of
from smil_ray.tracking.run_dir import RunDir, write_atomic
from smil_ray.tracking.sync.metrics import read_metrics
from smil_ray.training.checkpoint.loading import LoadedRegressor, find_checkpoint

REPORT_FILE = "report.html"
JOINT_FIGURES = ("mpjpe_ra_pct_bl", "kp2d_px_input")
PLOTS = {
    "validation.png": "Validation figures",
    "losses.png": "Loss terms",
    "optimisation.png": "Learning rate, gradients, speed",
}
WHICH = {
    "test": "which neither trained the network nor chose its checkpoint",
    "val": "which did not train the network but chose its checkpoint",
    "all": "seen in training or not",
}
"""What a split says about its samples."""


def write_run_report(
    loaded: LoadedRegressor,
    dataset: SmilDataset,
    *,
    data: Path,
    split: str = "test",
    path: Path | None = None,
) -> Path:
    """Write the page about a run and return its path; nothing else in the run changes.

    Args:
        loaded: One of the run's checkpoints.
        dataset: What it is measured on, as by `evaluate`.
        data: Where that lies.
        split: Which part of it.
        path: The page; default: `report.html` in the run folder.

    Raises:
        DataError: The split is unknown or empty.
        SmilRayError: The checkpoint lies in no run folder.
    """
    run = RunDir.open(run_of(loaded))
    sweep = run.facts().get("sweep")
    evaluation = evaluate(loaded, dataset, split=split)
    content = {
        "name": f"{sweep}/{run.path.name}" if sweep else run.path.name,
        "folder": run.path,
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "evaluation": evaluation_figures(evaluation),
        "which": WHICH[split],
        "json": data_address("application/json", evaluation.as_json()),
        "facts": fact_rows(run, loaded),
        "intervals": _intervals(loaded, dataset, split),
        "joints": _joints(evaluation),
        **_drawings(loaded, dataset, run, split),
        **_commands(loaded, dataset, run, data, split),
    }
    path = path or run.path / REPORT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render("smil_ray.results.report", "run.html.j2", content))
    return path


def _intervals(loaded: LoadedRegressor, dataset: SmilDataset, split: str) -> dict[str, Any]:
    """Return how many of the split's errors the run's own intervals cover, or why none."""
    found, lack = run_intervals(loaded)
    if found is None:
        return {"lack": lack}
    indices = held_out_indices(loaded, dataset, split)
    coverage = found.coverage(joint_errors(loaded, dataset, indices))
    return {"lack": "", "kept": found, "coverage": coverage}


def _joints(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return captions and drawings of the errors joint by joint."""
    return [
        (SHOWN[figure], joints_plot({evaluation.network: found}, SHOWN[figure]))
        for figure in JOINT_FIGURES
        if (found := evaluation.per_joint.get(figure))
    ]


def _drawings(
    loaded: LoadedRegressor, dataset: SmilDataset, run: RunDir, split: str
) -> dict[str, Any]:
    """Return learning curves and pictures of predictions."""
    metric = run.load_config().train.select_metric
    points = [
        (row.epoch, row.metrics[metric]) for row in read_metrics(run.path) if metric in row.metrics
    ]
    value = loaded.meta.get("select_value") or 0.0
    caption = SHOWN.get(metric.rpartition("/")[2], metric)
    curve = Curve(run.path.name, 0, value, 0.0, points)
    with tempfile.TemporaryDirectory(prefix="smil_ray_report_") as place:
        folder = Path(place)
        plots = write_run_plots(run.read_metrics(), run.load_config(), folder)
        sheet = write_prediction_sheet(loaded, dataset, folder / "sheet.png", split=split, each=1)
        return {
            "metric": metric,
            "curve": learning_curves([curve], caption),
            "plots": [
                (caption, data_address("image/png", (folder / name).read_bytes()))
                for name, caption in PLOTS.items()
                if (folder / name) in plots
            ],
            "picture": embedded(sheet),
        }


def _commands(
    loaded: LoadedRegressor, dataset: SmilDataset, run: RunDir, data: Path, split: str
) -> dict[str, Any]:
    """Return what the commands of the page name."""
    is_best = find_checkpoint(run.path).resolve() == loaded.path.resolve()
    trained = run.load_config().data
    return {
        "config": run.config_file.read_text(encoding="utf-8"),
        "checkpoint": run.path if is_best else loaded.path.absolute(),
        "split": split,
        "data": data.absolute(),
        "data_hash": dataset.content_hash,
        "has_moved": not trained.sources and str(data.absolute()) != trained.path,
        "is_other_data": not trained.sources
        and dataset.content_hash != loaded.meta.get("data_hash"),
    }
