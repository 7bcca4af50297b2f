"""`ray up` of three hosts by the shipped file, the whole job on them, and `ray down`."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import mlflow
import numpy as np
import pytest

from smil_ray.config.reading import load_config
from smil_ray.tracking.run_dir import RunDir
from tests.cluster.bench import ROOT, Bench

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    # What MLflow asks of SQLAlchemy when the test looks at its database.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SYNTH = ("--samples", "120", "--image-size", "64", "--seed", "3")
PREPROCESS = ("--image-size", "64", "--chunk-size", "20")
SWEEP = """
name: bench
search: grid
trials: 6
final_epochs: 1
pack: 1
scheduler: {type: none}
base:
  data: {batch_size: 8, val_fraction: 0.2}
  train: {epochs: 2}
  model:
    backbone: {name: test_resnet, input_size: 64}
    head: {type: mlp, hidden_dim: 32}
space:
  optim.learning_rate:
    choice: [1.0e-4, 2.0e-4, 4.0e-4, 8.0e-4, 1.6e-3, 3.2e-3]
"""


def commands(place: Path) -> dict[str, list[str]]:
    """Return the three steps of the job, with results below `place`."""
    pictures, data = place / "pictures", place / "data.h5"
    return {
        "synth": ["synth", str(pictures), *SYNTH],
        "preprocess": ["preprocess", str(pictures), str(data), *PREPROCESS],
        "sweep": [
            *("--data", str(data), "--config", str(place / "sweep.yaml")),
            *("--output", str(place / "runs")),
        ],
    }


def alone(place: Path) -> None:
    """Run the same job on this machine, in one process where that is possible."""
    steps = commands(place)
    for command in (
        [sys.executable, "-m", "smil_ray", *steps["synth"], "--num-workers", "1"],
        [sys.executable, "-m", "smil_ray", *steps["preprocess"], "--num-workers", "1"],
        [sys.executable, str(ROOT / "experiments/tune_backbones.py"), *steps["sweep"]],
    ):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]


def results(place: Path) -> dict[float, list[dict[str, Any]]]:
    """Return each trial's validation metrics by its learning rate."""
    (sweep,) = (path.parent for path in (place / "runs").glob("*/sweep.yaml"))
    found = {}
    for folder in sorted((sweep / "trials").iterdir()):
        rate = load_config(folder / "config.yaml").optim.learning_rate
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found_in = [(line["epoch"], line["metrics"]) for line in lines]
        kept = [
            {"epoch": epoch, **{k: v for k, v in metrics.items() if k.startswith("val/")}}
            for epoch, metrics in found_in
            if any(key.startswith("val/") for key in metrics)
        ]
        assert rate not in found, "a trial has run twice"
        assert kept, f"{folder} was never validated"
        found[rate] = kept
    return found


def hosts_of_trials(place: Path) -> set[str]:
    return {
        node["host"]
        for folder in (place / "runs").glob("*/trials/*")
        for node in RunDir.open(folder).facts().get("nodes", [])
    }


def same_files(first: Path, second: Path) -> None:
    names = sorted(path.name for path in first.iterdir() if not path.name.startswith("."))
    assert names == sorted(p.name for p in second.iterdir() if not p.name.startswith("."))
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def same_data(first: Path, second: Path) -> None:
    """Compare files of samples; their settings name the folder from which they come."""
    with h5py.File(first) as one, h5py.File(second) as other:
        names: list[str] = []
        one.visit(names.append)
        for name in names:
            found, expected = one[name], other[name]
            if isinstance(found, h5py.Dataset) and name != "metadata/settings":
                assert isinstance(expected, h5py.Dataset)
                assert bool((np.asarray(found[()]) == np.asarray(expected[()])).all()) or (
                    np.asarray(found[()]).tobytes() == np.asarray(expected[()]).tobytes()
                ), name


def test_whole_job_on_three_hosts_gives_what_one_machine_gives(
    bench: Bench, tmp_path: Path
) -> None:
    place = bench.folder / "job"
    for folder in (place, tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    times = {"start": time.monotonic()}
    bench.ray("up", "--yes", "--no-config-cache")
    times["up"] = time.monotonic()
    bench.wait_for_nodes(3)
    times["nodes"] = time.monotonic()

    steps = commands(place)
    command = str(ROOT / "smil_ray/__main__.py")
    for step in ("synth", "preprocess"):
        bench.ray("submit", command, "--", *steps[step], "--address", "auto")
        times[step] = time.monotonic()
    script = str(ROOT / "experiments/tune_backbones.py")
    bench.ray("submit", script, "--", *steps["sweep"], "--address", "auto")
    times["sweep"] = time.monotonic()

    bench.ray("down", "--yes")
    times["down"] = time.monotonic()
    while (left := bench.processes()) and time.monotonic() < times["down"] + 240:
        sys.stdout.write(
            f"{time.monotonic() - times['down']:.0f} s after down:\n" + "\n".join(left) + "\n"
        )
        time.sleep(10)
    assert left == []
    times["no process"] = time.monotonic()
    names = list(times)
    sys.stdout.write("".join(f"{b}: {times[b] - times[a]:.0f} s\n" for a, b in pairwise(names)))

    alone(tmp_path)
    same_files(tmp_path / "pictures", place / "pictures")
    same_data(tmp_path / "data.h5", place / "data.h5")
    assert results(place) == results(tmp_path)
    assert len(results(place)) == 6
    assert len(hosts_of_trials(place)) >= 2
    tracked = mlflow.MlflowClient(f"sqlite:///{bench.folder}/mlflow/mlflow.db")
    runs = tracked.search_runs([e.experiment_id for e in tracked.search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(trials) >= 6
    assert all(any(key.startswith("val/") for key in run.data.metrics) for run in trials)
