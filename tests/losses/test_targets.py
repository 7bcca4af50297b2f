"""Labels as a prediction: what is known is kept, what is absent is the mean shape."""

from dataclasses import replace

import torch

from smil_ray.losses.targets import true_params


def test_labels_are_the_parameters_that_made_them(make_truth, insect) -> None:
    truth, batch = make_truth(representation="axis_angle")
    found = true_params(batch, insect)
    for name, expected in truth.as_dict().items():
        torch.testing.assert_close(found.as_dict()[name], expected, msg=name)


def test_absent_shape_is_the_mean_and_absent_pose_stays_unknown(make_truth, insect) -> None:
    _, batch = make_truth(count=3)
    one_lacks = torch.tensor([True, False, True])
    nan = torch.where(one_lacks[:, None], batch.target.betas, torch.nan)
    lost = torch.full_like(batch.target.joint_rot, torch.nan)
    lacking = ("betas", "scale_weights", "trans_weights")
    batch = replace(
        batch,
        target=replace(batch.target, betas=nan, joint_rot=lost),
        presence={**batch.presence, **dict.fromkeys(lacking, one_lacks)},
    )
    found = true_params(batch, insect)
    assert found.log_beta_scales is not None
    assert found.betas_trans is not None
    for value in (found.betas, found.log_beta_scales, found.betas_trans):
        assert torch.equal(value[1], torch.zeros_like(value[1]))
        assert bool((value[0] != 0).any())
    assert bool(found.joint_rot.isnan().all())


def test_model_without_directions_has_no_scales(make_truth, insect) -> None:
    _, batch = make_truth()
    found = true_params(batch, replace(insect, scaledirs=None, transdirs=None))
    assert found.log_beta_scales is None
    assert found.betas_trans is None
