"""Backbone plus head: every combination gives valid SMIL parameters."""

import itertools

import pytest
import torch

from smil_ray.config import BackboneConfig, HeadConfig, ModelConfig
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.errors import ConfigError
from smil_ray.models.decoder import ScaleBasis, TargetStatistics
from smil_ray.models.regressor import build_regressor

BACKBONES = ("test_resnet", "test_vit", "mobilenetv3_small_100")
HEADS = ("mlp", "transformer_decoder")
REPRESENTATIONS = ("6d", "axis_angle")
FRAMES = ("camera", "root")
SEED_BACKBONES = (
    "resnet50",
    "resnet101",
    "resnet152",
    "vit_base_patch16_224",
    "vit_large_patch16_224",
)


def total(params: SmilParams) -> torch.Tensor:
    return torch.stack([value.sum() for value in params.as_dict().values()]).sum()


@pytest.mark.parametrize(
    ("backbone", "head", "representation", "frame"),
    list(itertools.product(BACKBONES, HEADS, REPRESENTATIONS, FRAMES)),
)
def test_forward_gives_the_seed_s_dictionary(
    backbone, head, representation, frame, make_regressor, images
):
    regressor = make_regressor(
        {"name": backbone},
        {"type": head},
        rotation_representation=representation,
        reference_frame=frame,
        joint_scales="pca",
        joint_translations="pca",
    )
    params = regressor(images(2))
    width = 6 if representation == "6d" else 3
    assert {name: tuple(value.shape) for name, value in params.as_dict().items()} == {
        "global_rot": (2, width),
        "joint_rot": (2, 6, width),
        "betas": (2, 4),
        "trans": (2, 3),
        "fov": (2, 1),
        "cam_rot": (2, 3, 3),
        "cam_trans": (2, 3),
        "log_beta_scales": (2, 7, 3),
        "betas_trans": (2, 7, 3),
    }
    total(params).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in regressor.parameters())


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("frame", FRAMES)
def test_initial_estimate_is_the_rest_pose_in_the_middle_of_the_picture(
    representation, frame, make_regressor
):
    regressor = make_regressor(
        rotation_representation=representation,
        reference_frame=frame,
        joint_scales="pca",
        joint_translations="per_joint",
    )
    params = regressor.decoder(regressor.decoder.initial[None])
    eye = torch.eye(3)
    torch.testing.assert_close(params.rotation_matrices(), eye.expand(1, 7, 3, 3))
    torch.testing.assert_close(params.cam_rot, eye[None])
    torch.testing.assert_close(params.fov, torch.tensor([[25.0]]))
    place = params.trans if frame == "camera" else params.cam_trans
    extent = place[0, 2] * torch.tan(torch.deg2rad(torch.tensor(12.5)))
    torch.testing.assert_close(extent.log(), torch.tensor(0.5))
    assert place[0, :2].tolist() == [0.0, 0.0]
    assert params.betas.abs().max() == 0.0
    for offsets in (params.log_beta_scales, params.betas_trans):
        assert offsets is not None
        assert offsets.abs().max() == 0.0


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_rotations_of_wild_raw_numbers_are_orthonormal(representation, make_regressor):
    regressor = make_regressor(rotation_representation=representation, reference_frame="root")
    raw = torch.randn(50, regressor.decoder.layout.total) * 5.0
    params = regressor.decoder(raw)
    eye = torch.eye(3)
    for matrices in (params.rotation_matrices(), params.cam_rot):
        square = matrices @ matrices.mT
        torch.testing.assert_close(square, eye.expand_as(square), atol=1e-4, rtol=0)
    if representation == "6d":
        norms = params.joint_rot.unflatten(-1, (2, 3)).norm(dim=-1)
        torch.testing.assert_close(norms, torch.ones_like(norms), atol=1e-4, rtol=0)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_both_frames_decode_the_same_pose(representation, make_regressor):
    camera = make_regressor(rotation_representation=representation, reference_frame="camera")
    root = make_regressor(rotation_representation=representation, reference_frame="root")
    noise = torch.randn(4, camera.decoder.layout.total) * 0.3
    raw = camera.decoder.initial + noise
    expected = change_frame(camera.decoder(raw), "root")
    found = root.decoder(raw)
    torch.testing.assert_close(found.cam_rot, expected.cam_rot, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.cam_trans, expected.cam_trans)
    torch.testing.assert_close(found.global_rot, expected.global_rot)
    torch.testing.assert_close(found.trans, expected.trans)


def test_root_of_raw_ndc_is_seen_there_whatever_the_principal_point(make_regressor):
    decoder = make_regressor().decoder
    raw = decoder.initial.repeat(2, 1)
    start = sum(
        width
        for name, width in decoder.layout.widths.items()
        if name in ("root_rot", "joint_rot", "betas")
    )
    raw[:, start : start + 2] = torch.tensor([0.4, -0.2])
    intrinsics = torch.tensor([[2.0, 2.0, 0.5, 0.5], [2.0, 2.0, 0.7, 0.1]])
    params = decoder(raw, intrinsics)
    focal = 0.5 / torch.tan(torch.deg2rad(params.fov) / 2)
    seen = intrinsics[:, 2:] - focal * params.trans[:, :2] / params.trans[:, 2:]
    torch.testing.assert_close(seen, torch.tensor([[0.3, 0.6]]).expand(2, 2))


def test_unknown_intrinsics_stand_for_the_middle(make_regressor):
    decoder = make_regressor().decoder
    raw = decoder.initial[None]
    unknown = decoder(raw, torch.full((1, 4), torch.nan))
    assert torch.equal(unknown.trans, decoder(raw).trans)


def test_extreme_raw_numbers_stay_finite_with_finite_gradients(make_regressor):
    decoder = make_regressor(joint_scales="pca", joint_translations="pca").decoder
    for value in (-1e4, 1e4):
        raw = torch.full((1, decoder.layout.total), value, requires_grad=True)
        params = decoder(raw)
        values = [v for v in params.as_dict().values() if v is not None]
        assert all(v.isfinite().all() for v in values)
        (gradient,) = torch.autograd.grad(total(params), raw)
        assert gradient.isfinite().all()


def test_scales_and_translations_follow_their_mode(make_regressor):
    shapes = {}
    for mode in ("ignore", "pca", "per_joint", "from_betas"):
        decoder = make_regressor(joint_scales=mode, joint_translations=mode).decoder
        params = decoder(decoder.initial[None])
        widths = decoder.layout.widths
        modelled = params.log_beta_scales is not None and params.betas_trans is not None
        shapes[mode] = (modelled, widths.get("scales", 0), widths.get("translations", 0))
    assert shapes == {
        "ignore": (False, 0, 0),
        "pca": (True, 4, 4),
        "per_joint": (True, 21, 21),
        "from_betas": (True, 0, 0),
    }


@pytest.mark.parametrize(
    ("basis", "mode", "message"),
    [
        (None, "pca", "without"),
        (ScaleBasis(torch.zeros(2, 7, 3), torch.zeros(2, 7, 3)), "from_betas", "choose pca"),
    ],
)
def test_mode_that_the_model_cannot_serve_is_refused(basis, mode, message):
    with pytest.raises(ConfigError, match=message):
        build_regressor(
            ModelConfig(joint_scales=mode),
            n_joints=7,
            n_betas=4,
            statistics=TargetStatistics(20.0, 0.0),
            basis=basis,
        )


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("head", HEADS)
def test_cached_features_give_the_prediction_of_the_image(name, head, make_regressor, images):
    regressor = make_regressor({"name": name, "freeze": True}, {"type": head}).eval()
    tokens = regressor.backbone(images()).packed()
    from_image, from_cache = regressor(images()), regressor(tokens=tokens)
    torch.testing.assert_close(from_cache.joint_rot, from_image.joint_rot)
    torch.testing.assert_close(from_cache.trans, from_image.trans)


def test_forward_without_input_is_an_error(make_regressor):
    with pytest.raises(ValueError, match="image or tokens"):
        make_regressor()()


def test_state_dict_carries_the_initial_estimate(make_regressor):
    trained = make_regressor()
    trained.decoder.initial.add_(0.25)
    fresh = make_regressor()
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.decoder.initial, trained.decoder.initial)


def test_parameter_groups_hold_each_trained_parameter_once(make_regressor):
    regressor = make_regressor({"learning_rate_factor": 0.1})
    groups = regressor.parameter_groups(weight_decay=0.01)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in regressor.parameters())
    factors = {group["name"]: (group["lr_factor"], group["weight_decay"]) for group in groups}
    assert factors == {
        "head": (1.0, 0.01),
        "head_no_decay": (1.0, 0.0),
        "backbone": (0.1, 0.01),
        "backbone_no_decay": (0.1, 0.0),
    }


def test_parameter_groups_leave_a_frozen_backbone_out(make_regressor):
    regressor = make_regressor({"freeze": True})
    names = {group["name"] for group in regressor.parameter_groups(0.01)}
    assert names == {"head", "head_no_decay"}


def test_autocast_keeps_parameters_in_float32(make_regressor, images):
    regressor = make_regressor()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        params = regressor(images())
    assert all(value.dtype == torch.float32 for value in params.as_dict().values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SEED_BACKBONES)
def test_seed_backbone_runs_at_its_own_resolution_with_both_heads(name):
    backbone = None
    for head in HEADS:
        config = ModelConfig(backbone=BackboneConfig(name=name), head=HeadConfig(type=head))
        regressor = build_regressor(
            config,
            n_joints=55,
            n_betas=5,
            statistics=TargetStatistics(20.0, 0.0),
            backbone=backbone,
        )
        backbone = regressor.backbone
        size = backbone.spec.input_size
        assert size == (512 if name.startswith("resnet") else 224)
        params = regressor(torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8))
        assert isinstance(params, SmilParams)
        regressor.zero_grad()
        total(params).backward()
        for weight in regressor.parameters():
            assert weight.grad is not None
            assert weight.grad.isfinite().all()


@pytest.mark.parametrize("head", HEADS)
def test_animal_of_one_shape_has_a_prediction_without_betas(head, images):
    regressor = build_regressor(
        ModelConfig(backbone=BackboneConfig(name="test_vit"), head=HeadConfig(type=head)),
        n_joints=7,
        n_betas=0,
        statistics=TargetStatistics(fov_deg=30.0, log_extent=0.5),
    )
    params = regressor(images(2))
    assert params.betas.shape == (2, 0)
    assert params.joint_rot.shape[1] == 6
    total(params).backward()


@pytest.mark.parametrize("head", ["mlp", "transformer_decoder", "joint_tokens"])
def test_a_network_that_was_never_told_places_refuses_them(head, make_regressor, images):
    settings = {"type": head, "refinements": 0, "num_heads": 4}
    prompts = torch.full((2, 7, 2), 0.5)
    with pytest.raises(ConfigError, match="prompt_share"):
        make_regressor(head=settings)(images(), prompts=prompts)
    if head == "joint_tokens":
        told = make_regressor(head={**settings, "prompt_share": 0.3})
        assert told(images(), prompts=prompts).betas.shape[0] == 2
