"""What a run keeps of what it was given."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BackboneConfig, BodyConfig, Config
from smil_ray.errors import CheckpointError
from smil_ray.models.backbones import build_backbone
from smil_ray.training.checkpoint.inputs import (
    keep_backbone,
    keep_body_model,
    kept_backbone,
    kept_body_model,
    open_body_model,
)


@pytest.fixture
def model() -> SmilModel:
    arrays = SmilModel.builtin().source
    return SmilModel.from_arrays(replace(arrays, name="other", v_template=arrays.v_template * 2))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_kept_body_model_is_opened_in_place_of_one_that_is_gone(run, model):
    config = Config(body=BodyConfig(model=str(run / "gone.pkl")))
    kept = keep_body_model(run, model)
    assert kept_body_model(run) == kept
    assert open_body_model(config, run).content_hash == model.content_hash


def test_run_that_keeps_no_body_model_opens_the_configured_one(run):
    assert open_body_model(Config(), run).content_hash == SmilModel.builtin().content_hash


def test_kept_backbone_has_every_weight(run):
    backbone = build_backbone(BackboneConfig(name="test_resnet"))
    kept = keep_backbone(run, backbone)
    assert kept_backbone(run) == kept
    state = backbone.model.state_dict()
    found = load_file(kept)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_runs_side_by_side_share_one_file(run, model):
    (run.parent / "second").mkdir()
    first, second = keep_body_model(run, model), keep_body_model(run.parent / "second", model)
    assert first.samefile(second)


def test_kept_file_is_written_once(run, model):
    before = keep_body_model(run, model).stat().st_mtime_ns
    assert keep_body_model(run, model).stat().st_mtime_ns == before
    assert len(list((run / "inputs").iterdir())) == 1


def test_folder_that_takes_no_file_ends_in_one_sentence(run, model):
    (run / "inputs").write_text("a file")
    with pytest.raises(CheckpointError, match="cannot be written"):
        keep_body_model(run, model)
