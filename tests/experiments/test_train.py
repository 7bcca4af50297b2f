"""`experiments/train.py`: from a data file to a run folder that evaluates and resumes."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smil_ray.body.model_file.reading import write_npz
from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from smil_ray.config.reading import load_config
from smil_ray.orchestration.train import job as train_job
from smil_ray.orchestration.train.job import TrainOutcome
from smil_ray.tracking.run_dir import RunDir
from tests.experiments.script import run_script
from tests.insect_data import write_insects
from tests.memory_data import SIZE, make_samples

TINY = (
    *("--execution", "inline", "--backbone", "test_vit", "--batch_size", "4"),
    *("--set", f"model.backbone.input_size={SIZE}", "--set", "model.head.type=mlp"),
    *("--set", "tracking.enabled=false", "--set", "train.overlay_samples=0"),
    *("--set", "train.plots=false"),
)


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("*/run.json")
    return run.parent


@pytest.mark.slow
def test_trained_run_says_where_it_is_evaluates_and_resumes(
    insect_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data_path", insect_file, "--learning_rate", "1e-4")
    output = tmp_path / "my runs"
    assert run_script("train", *arguments, "--output", output, "--num-epochs", "1", *TINY) == 0
    run = only_run(output)
    said = capsys.readouterr().out
    assert f"run folder: {run}" in said
    assert f"evaluate it: {shlex.join(['smil-ray', 'evaluate', str(run)])}" in said
    assert "val/pa_mpjpe_pct_bl" in said
    config = load_config(run / "config.yaml")
    assert (config.optim.learning_rate, config.data.batch_size) == (1e-4, 4)
    assert config.data.path == str(insect_file)
    assert main(["evaluate", str(run), "--split", "val"]) == 0
    again = ("--resume", run, "--execution", "inline", "--num_epochs", "2")
    assert run_script("train", *again) == 0
    assert only_run(output) == run
    epochs = {row["epoch"] for row in RunDir.open(run).read_metrics()}
    assert max(epochs) == 2


def test_losses_without_labels_are_left_out_by_default_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = ("global_rot", "joint_rot", "betas")
    samples = [
        replace(
            sample,
            **{name: np.full_like(getattr(sample, name), np.nan) for name in absent},
            present=sample.present - set(absent),
        )
        for sample in make_samples(SmilModel.builtin(), 3)
    ]
    data = write_insects(tmp_path / "points.h5", samples)
    arguments = ("--data", data, "--output", tmp_path / "runs", "--num-epochs", "1", *TINY)
    assert run_script("train", *arguments) == 0
    assert "no labels in the data for the loss terms: global_rot, joint_rot, betas" in (
        capsys.readouterr().out
    )
    weights = load_config(only_run(tmp_path / "runs") / "config.yaml").loss.base_weights
    assert not set(absent) & set(weights)


def test_body_model_is_that_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builtin = SmilModel.builtin()
    arrays = replace(builtin.source, name="beetle", v_template=1.1 * builtin.source.v_template)
    place = tmp_path / "beetle.npz"
    write_npz(arrays, place)
    beetle = SmilModel.load(place)
    samples = make_samples(beetle, 4)
    data = write_insects(tmp_path / "beetles.h5", samples, model=beetle, place=str(place))
    arguments = ("--data", data, "--output", tmp_path / "runs", "--num-epochs", "1", *TINY)
    assert run_script("train", *arguments) == 0
    assert f"body model of the data: {place}" in capsys.readouterr().out
    assert load_config(only_run(tmp_path / "runs") / "config.yaml").body.model == str(place)


def test_run_that_was_asked_to_stop_says_how_to_go_on(
    insect_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = train_job.run_training

    def stopped(*arguments: Any, **options: Any) -> TrainOutcome:
        return replace(original(*arguments, **options), status="stopped", reason="asked to stop")

    monkeypatch.setattr(train_job, "run_training", stopped)
    output = tmp_path / "my runs"
    arguments = ("--data", insect_file, "--output", output, "--num-epochs", "1", *TINY)
    assert run_script("train", *arguments, "--set", "loss.ignored_joints=[b_a_5]") == 130
    said = capsys.readouterr().out
    (command,) = (line for line in said.splitlines() if line.startswith("go on with: "))
    assert shlex.split(command)[-2:] == ["--resume", str(only_run(output))]
    assert "ignored joints: b_a_5; 54 of 55 joints are supervised\n" in said
