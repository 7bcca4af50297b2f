"""Any timm backbone gives tokens and a pooled feature."""

import pytest
import timm
import torch
from timm.data.config import resolve_data_config

from smil_ray.config import BackboneConfig
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import backbone_spec, build_backbone

SMALL = ["test_resnet", "test_vit", "mobilenetv3_small_100"]


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [
        ("resnet50", 512, 2048),
        ("resnet101", 512, 2048),
        ("resnet152", 512, 2048),
        ("vit_base_patch16_224", 224, 768),
        ("vit_large_patch16_224", 224, 1024),
        ("mobilenetv3_small_100", 224, 1024),
        ("test_resnet", 160, 96),
    ],
)
def test_spec_of_known_backbones_has_their_size_and_width(name, size, width):
    spec = backbone_spec(name)
    assert (spec.input_size, spec.num_features) == (size, width)


def test_spec_with_tag_has_the_size_of_the_name_without():
    assert backbone_spec("resnet50.a1_in1k").input_size == 512


def test_spec_of_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match="resnet50"):
        backbone_spec("resnet5")


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet50", "local-dir:somewhere"])
def test_spec_of_remote_name_is_refused(name):
    with pytest.raises(ConfigError, match="timm model name"):
        backbone_spec(name)


def test_spec_of_unknown_tag_is_refused():
    with pytest.raises(ConfigError, match="nosuchtag"):
        backbone_spec("resnet50.nosuchtag")


def test_spec_of_vit_at_size_that_patches_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match="input_size 100"):
        backbone_spec("test_vit", 100)


def test_spec_of_channels_last_backbone_counts_cells_as_tokens():
    spec = backbone_spec("swin_tiny_patch4_window7_224")
    assert (spec.grid, spec.token_width) == ((7, 7), 768)


@pytest.mark.parametrize("name", SMALL)
def test_forward_gives_a_token_per_cell_of_the_grid(name, images):
    backbone = build_backbone(BackboneConfig(name=name, input_size=64)).eval()
    features = backbone(images(3))
    spec = backbone.spec
    assert features.tokens.shape == (3, spec.n_tokens, spec.token_width)
    assert features.pooled.shape == (3, spec.num_features)


@pytest.mark.parametrize("name", SMALL)
def test_forward_equals_timm_on_normalised_pixels(name, images):
    backbone = build_backbone(BackboneConfig(name=name, input_size=64)).eval()
    image = images(2)
    settings = resolve_data_config({}, model=timm.create_model(name, num_classes=0))
    mean = torch.tensor(settings["mean"]).view(3, 1, 1)
    std = torch.tensor(settings["std"]).view(3, 1, 1)
    expected = backbone.model((image.float() / 255.0 - mean) / std)
    torch.testing.assert_close(backbone(image).pooled, expected, atol=1e-5, rtol=1e-5)


def test_forward_of_vit_leaves_prefix_tokens_out(images):
    backbone = build_backbone(BackboneConfig(name="test_vit")).eval()
    features = backbone(images(1, size=160))
    assert backbone.spec.grid == (10, 10)
    assert features.tokens.shape[1] == 100


def test_forward_of_float_and_uint8_agree(images):
    backbone = build_backbone(BackboneConfig(name="test_resnet", input_size=64)).eval()
    torch.testing.assert_close(backbone(images()).tokens, backbone(images().float()).tokens)


def test_forward_of_another_size_resizes(images):
    backbone = build_backbone(BackboneConfig(name="test_vit", input_size=64)).eval()
    grey = torch.full((1, 3, 150, 150), 90, dtype=torch.uint8)
    small = torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    torch.testing.assert_close(backbone(grey).pooled, backbone(small).pooled)


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv3_small_100"])
def test_packed_features_come_back_unchanged(name, images):
    backbone = build_backbone(BackboneConfig(name=name, input_size=64)).eval()
    features = backbone(images())
    again = backbone.spec.unpack(features.packed())
    assert torch.equal(again.tokens, features.tokens)
    assert torch.equal(again.pooled, features.pooled)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "convnext_atto"])
def test_finer_maps_go_from_fine_to_coarse_and_end_before_the_tokens(name):
    spec = backbone_spec(name, 64, finest_stride=4)
    rows = [one.grid[0] for one in spec.maps]
    assert rows == [16, 8, 4]
    assert spec.grid == (2, 2)


def test_backbone_that_cannot_give_its_maps_is_refused(monkeypatch):
    give_all = timm.models.resnet.ResNet.forward_intermediates

    def refuses(*given, indices=None, **options):
        if indices is not None:
            raise RuntimeError("shapes differ\nand more")
        return give_all(*given, **options)

    monkeypatch.setattr(timm.models.resnet.ResNet, "forward_intermediates", refuses)
    with pytest.raises(ConfigError, match=r"test_resnet cannot be built.*found shapes differ;"):
        backbone_spec("test_resnet", 96, finest_stride=4)


def test_vit_has_no_finer_maps_than_its_tokens():
    assert backbone_spec("test_vit", 64, finest_stride=4).maps == ()


def test_features_with_maps_survive_packing():
    config = BackboneConfig(name="test_resnet", input_size=64, freeze=True)
    backbone = build_backbone(config, finest_stride=8)
    features = backbone(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    again = backbone.spec.unpack(features.packed())
    assert len(again.maps) == 2
    for one, other in zip(features.maps, again.maps, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(features.tokens, again.tokens)
    torch.testing.assert_close(features.pooled, again.pooled)


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 64), ("hiera_tiny_224", 224)])
def test_asking_for_maps_does_not_change_tokens_and_pooled_feature(name, size):
    config = BackboneConfig(name=name, input_size=size, freeze=True)
    plain = build_backbone(config)
    with_maps = build_backbone(config, finest_stride=4)
    with_maps.load_state_dict(plain.state_dict())
    image = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    torch.testing.assert_close(plain(image).tokens, with_maps(image).tokens)
    torch.testing.assert_close(plain(image).pooled, with_maps(image).pooled)
