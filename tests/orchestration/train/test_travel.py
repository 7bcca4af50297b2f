"""A run folder copied elsewhere, after all that it was made from has gone."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from smil_ray.models.weights.create import create_model
from smil_ray.orchestration.rerun import OriginalRun, agreement, changes, rerun_config
from smil_ray.orchestration.train.job import run_training
from smil_ray.results.regressor_api import SMILImageRegressor
from smil_ray.training.checkpoint.folder import last_entry
from smil_ray.training.checkpoint.loading import load_regressor
from tests.insect_data import train_insects


@pytest.fixture(scope="module", params=[False, True], ids=["trained", "frozen"])
def travelled(
    request: pytest.FixtureRequest, insect_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run moved away from its body model and its backbone's weights, which are deleted."""
    home = tmp_path_factory.mktemp("home")
    SmilModel.builtin().save(home / "insect.npz")
    torch.manual_seed(7)
    torch.save(create_model("test_resnet").state_dict(), home / "weights.pth")
    backbone = {
        "name": "test_resnet",
        "input_size": 64,
        "weights": str(home / "weights.pth"),
        "freeze": request.param,
    }
    sections = {"body": {"model": str(home / "insect.npz")}, "model": {"backbone": backbone}}
    run = train_insects(insect_file, home / "runs", **sections)
    away = tmp_path_factory.mktemp("away") / "with space" / run.name
    shutil.copytree(run, away)
    shutil.rmtree(home)
    return away


def test_travelled_run_predicts(travelled, tmp_path):
    picture = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    out = tmp_path / "out"
    assert main(["predict", str(travelled), str(tmp_path / "photo.png"), "--out", str(out)]) == 0
    assert (out / "overlays" / "photo.png").is_file()


def test_travelled_run_is_evaluated(travelled, tmp_path):
    assert main(["evaluate", str(travelled), "--json", str(tmp_path / "metrics.json")]) == 0
    assert (tmp_path / "metrics.json").is_file()


def test_travelled_run_is_compared(travelled):
    assert main(["compare", str(travelled.parent), "--metric", "val/pa_mpjpe_pct_bl"]) == 0


def test_travelled_run_becomes_a_regressor(travelled):
    regressor = SMILImageRegressor.from_checkpoint(travelled)
    assert regressor.body.content_hash == SmilModel.builtin().content_hash


def test_travelled_checkpoint_alone_is_loaded(travelled):
    entry = last_entry(travelled / "checkpoints")
    assert entry is not None
    assert load_regressor(entry.path).model.n_joints == 55


def test_travelled_run_is_repeated_from_what_it_kept(travelled, tmp_path):
    origin = OriginalRun("first", travelled)
    config = rerun_config(origin, [], tmp_path)
    assert changes(origin, config) == []
    again = run_training(config, execution="inline").run_dir
    same = agreement(travelled, again.path)
    assert same.figures > 10
    assert same.different == {}


def test_travelled_run_goes_on(travelled, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(travelled, run)
    outcome = run_training(resume=run, execution="inline")
    assert outcome.status == "finished"
