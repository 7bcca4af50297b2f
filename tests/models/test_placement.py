"""Memory layouts change the speed of networks, not what they say."""

import pytest
import torch

from smil_ray.models.placement import place, with_channels_last


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_features_do_not_depend_on_the_layout_of_pictures(make_regressor, images, name: str):
    backbone = make_regressor(backbone={"name": name}).backbone.eval()
    pictures = images(3)
    pixels = pictures.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert pixels.stride() != pictures.stride()
    with torch.no_grad():
        assert torch.equal(backbone(pictures).packed(), backbone(pixels).packed())


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_features_agree_with_contiguous_ones(make_regressor, images, name: str, monkeypatch):
    backbone = make_regressor(backbone={"name": name}).backbone.eval()
    with torch.no_grad():
        found = backbone(images(3)).packed()
        monkeypatch.setattr(torch, "channels_last", torch.contiguous_format)
        expected = backbone(images(3)).packed()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_weights_channels_last_give_the_same_outputs_and_checkpoints(make_regressor, images):
    networks = [
        make_regressor(head={"type": "joint_tokens", "refinements": 0}).eval() for _ in range(2)
    ]
    with_channels_last(networks[1])
    plain, last = (network.state_dict() for network in networks)
    assert any(last[name].stride() != value.stride() for name, value in plain.items())
    assert all(torch.equal(last[name], value) for name, value in plain.items())
    with torch.no_grad():
        outputs = [network(images(2)).as_dict() for network in networks]
    for name, value in outputs[0].items():
        torch.testing.assert_close(outputs[1][name], value, atol=1e-4, rtol=1e-4)


def test_placing_on_a_cpu_leaves_weights_as_they_are(make_regressor):
    network = make_regressor()
    before = {name: value.stride() for name, value in network.state_dict().items()}
    place(network, torch.device("cpu"))
    assert {name: value.stride() for name, value in network.state_dict().items()} == before
