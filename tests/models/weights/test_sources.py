"""Where pretrained weights are, with and without packages, caches and networks."""

import huggingface_hub
import pytest

from smil_ray.models.weights import sources
from smil_ray.models.weights.shipped import SHIPPED_WEIGHTS, ShippedWeights
from smil_ray.models.weights.sources import (
    LISTED,
    find_all_pretrained,
    find_pretrained,
    matching_backbones,
)


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)


def test_package_comes_before_cache_and_server(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(tmp_path))
    source = find_pretrained("tf_efficientnet_lite0", _unasked)
    assert (source.kind, source.remedy) == ("shipped", None)
    assert source.path is not None
    assert source.path.suffix == ".pth"


def test_cache_comes_before_server(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(tmp_path / "x"))
    source = find_pretrained("resnet50", _unasked)
    assert (source.kind, source.path) == ("cached", tmp_path / "x")


def test_server_that_answers_is_named():
    source = find_pretrained("resnet50", lambda _: True)
    assert source.kind == "download"
    assert huggingface_hub.constants.ENDPOINT in source.state


def test_server_that_does_not_answer_names_an_installed_backbone():
    source = find_pretrained("resnet50", lambda _: False)
    assert source.kind == "not here"
    assert "tf_efficientnet_lite0" in (source.remedy or "")


def test_package_that_is_not_installed_is_the_first_remedy(monkeypatch):
    monkeypatch.setattr(ShippedWeights, "find", lambda _: None)
    source = find_pretrained("tf_efficientnet_lite1", lambda _: False)
    install = SHIPPED_WEIGHTS["tf_efficientnet_lite1"].install
    assert (source.remedy or "").startswith(install)


def test_forbidden_hub_is_not_asked(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in find_pretrained("resnet50", _unasked).state


def test_architecture_without_weights_says_so():
    assert find_pretrained("resnet200", _unasked).kind == "none"


def test_server_is_asked_once_for_many_backbones(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(sources, "is_reachable", lambda address: bool(asked.append(address)))
    found = list(find_all_pretrained(["resnet50", "resnet101", "vit_base_patch16_224"]))
    assert [source.kind for source in found] == ["not here"] * 3
    assert asked == [huggingface_hub.constants.ENDPOINT]


def test_pattern_finds_what_it_matches_and_part_of_a_name_what_holds_it():
    found = matching_backbones("mobilenetv3_small*")
    assert "mobilenetv3_small_100" in found
    assert {*found, "tf_mobilenetv3_small_100"} <= set(matching_backbones("mobilenetv3_small"))
    assert "tf_mobilenetv3_small_100" not in found
    assert matching_backbones("resnet50") == ["resnet50"]
    assert matching_backbones("no_such_backbone") == []


def test_without_a_pattern_the_covered_backbones_are_listed():
    assert matching_backbones(None) == list(LISTED)


def _unasked(address: str) -> bool:
    raise AssertionError(f"{address} was asked")
