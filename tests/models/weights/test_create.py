"""Weights: random, from a file, or pretrained; unreachable ones fail at once."""

import pickle
import socket
import threading
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from smil_ray.config import BackboneConfig
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import build_backbone
from smil_ray.models.weights.create import create_model


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return create_model("test_vit").state_dict()


def test_safetensors_file_is_loaded(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    backbone = build_backbone(BackboneConfig(name="test_vit", weights=str(path)))
    assert torch.equal(backbone.model.state_dict()["norm.weight"], state["norm.weight"])
    key = "blocks.0.attn.qkv.weight"
    assert torch.equal(backbone.model.state_dict()[key], state[key])


def test_wrapped_pth_file_with_classifier_is_loaded(state, tmp_path):
    wrapped = {f"module.{key}": value for key, value in state.items()}
    wrapped |= {"module.head.weight": torch.zeros(10, 64), "module.head.bias": torch.zeros(10)}
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": wrapped, "epoch": 3}, path)
    model = create_model("test_vit", weights=str(path))
    key = "blocks.0.attn.qkv.weight"
    assert torch.equal(model.state_dict()[key], state[key])


def test_file_for_another_image_size_has_its_positions_resized(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    backbone = build_backbone(BackboneConfig(name="test_vit", weights=str(path), input_size=224))
    assert backbone.spec.grid == (14, 14)
    assert backbone.model.state_dict()["pos_embed"].shape[1] == 14 * 14 + 1


def test_message_says_what_was_taken_off(state, tmp_path, caplog):
    path = tmp_path / "weights.pth"
    torch.save({"teacher": {f"backbone.{key}": value for key, value in state.items()}}, path)
    model = create_model("test_vit", weights=str(path))
    assert torch.equal(model.state_dict()["norm.weight"], state["norm.weight"])
    assert "took off 'teacher', 'backbone.' to find test_vit" in caplog.text


def test_missing_file_is_refused():
    with pytest.raises(ConfigError, match="does not exist"):
        create_model("test_vit", weights="nowhere.safetensors")


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pth"])
def test_damaged_file_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"not weights at all")
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        create_model("test_vit", weights=str(path))


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Evil()}, path, pickle_module=pickle)
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        create_model("test_vit", weights=str(path))
    assert not (tmp_path / "ran").exists()


def test_file_without_tensors_is_refused(tmp_path):
    path = tmp_path / "empty.pth"
    torch.save([1, 2], path)
    with pytest.raises(ConfigError, match="no state_dict"):
        create_model("test_vit", weights=str(path))


def test_file_with_a_weight_missing_is_refused(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({key: value for key, value in state.items() if "blocks.1" not in key}, path)
    with pytest.raises(ConfigError, match=r"missing: (blocks\.1\.\S+ ){3}and 9 more"):
        create_model("test_vit", weights=str(path))


def test_file_with_more_weights_is_loaded(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({**state, "mask_token": torch.zeros(64)}, path)
    model = create_model("test_vit", weights=str(path))
    assert torch.equal(model.state_dict()["pos_embed"], state["pos_embed"])


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "mobilenetv3_small_100"])
def test_file_of_a_classifier_is_loaded_without_it(name, tmp_path):
    path = tmp_path / "weights.safetensors"
    whole = timm.create_model(name).state_dict()
    save_file(whole, path)
    loaded = create_model(name, weights=str(path)).state_dict()
    assert loaded
    assert len(loaded) < len(whole)
    assert all(torch.equal(value, whole[key]) for key, value in loaded.items())


def test_file_of_another_architecture_is_refused(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(ConfigError, match="not usable for test_resnet"):
        create_model("test_resnet", weights=str(path))


def test_pretrained_offline_asks_no_server_and_says_what_to_do(monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", lambda *place: asked.append(place))
    with pytest.raises(ConfigError, match=r"HF_HUB_OFFLINE.*\.safetensors"):
        create_model("resnet50", weights="pretrained")
    assert not asked


@pytest.mark.timeout(120)
def test_pretrained_is_refused_while_the_network_hangs(monkeypatch):
    answer = threading.Event()

    def hang(*_: object) -> None:
        answer.wait()
        raise TimeoutError

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("smil_ray.models.weights.hub.CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(socket, "create_connection", hang)
    with pytest.raises(ConfigError, match="cannot be reached"):
        create_model("resnet50", weights="pretrained")
    answer.set()


def test_pretrained_of_a_model_without_weights_is_refused():
    with pytest.raises(ConfigError, match="timm has none"):
        create_model("resnet200", weights="pretrained")


def test_pretrained_in_the_cache_needs_no_network(state, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
    model = create_model("test_vit", weights="pretrained")
    key = "blocks.0.attn.qkv.weight"
    assert torch.equal(model.state_dict()[key], state[key])
