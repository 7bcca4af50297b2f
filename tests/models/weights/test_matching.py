"""Backbones found inside what trainers save."""

import pytest
import torch

from smil_ray.errors import ConfigError
from smil_ray.models.weights.matching import PREFIXES, WRAPPERS, differences, part_that_fits

NAMES = ("stem.weight", "blocks.0.weight", "norm.bias")
SHAPES = {name: torch.Size([2, 3]) for name in NAMES}


def state(value: float = 1.0, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: torch.full((2, 3), value) for name in NAMES}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix_of_a_trainer_is_taken_off(prefix):
    part = part_that_fits(state(prefix=prefix) | {"head.weight": torch.zeros(1)}, NAMES)
    assert set(part.state) == set(NAMES)
    assert part.taken_off == (prefix,)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapper_of_a_trainer_is_opened(wrapper):
    part = part_that_fits({wrapper: state(), "epoch": 3}, NAMES)
    assert set(part.state) == set(NAMES)
    assert part.describe() == repr(wrapper)


def test_chain_of_wrappers_and_prefixes_is_taken_off_from_the_outside_in():
    nested = {"model": {"state_dict": state(prefix="module._orig_mod.backbone.")}}
    part = part_that_fits(nested, NAMES)
    assert part.taken_off == ("model", "state_dict", "module.", "_orig_mod.", "backbone.")
    assert set(part.state) == set(NAMES)


def test_names_that_fit_as_they_are_are_left_alone():
    names = ("model.weight", "encoder.weight")
    loaded = {name: torch.zeros(1) for name in names}
    part = part_that_fits(loaded, names)
    assert part.taken_off == ()
    assert set(part.state) == set(names)


def test_running_mean_is_taken_before_the_last_weights():
    loaded = {"state_dict": state(1.0), "model_ema": state(2.0)}
    assert float(part_that_fits(loaded, NAMES).state["norm.bias"][0, 0]) == 2.0


def test_teacher_is_taken_before_the_student():
    loaded = {
        "student": state(1.0, "module.backbone."),
        "teacher": state(2.0, "backbone."),
    }
    part = part_that_fits(loaded, NAMES)
    assert part.taken_off == ("teacher", "backbone.")
    assert float(part.state["norm.bias"][0, 0]) == 2.0


def test_part_with_all_names_is_taken_before_a_better_known_one_with_some():
    loaded = {
        "state_dict": {"stem.weight": torch.zeros(2, 3)},
        "student": state(prefix="encoder."),
    }
    assert part_that_fits(loaded, NAMES).taken_off == ("student", "encoder.")


def test_foreign_names_keep_what_only_some_of_them_begin_with():
    loaded = {"module.model.a": torch.zeros(1), "module.b": torch.zeros(1)}
    assert set(part_that_fits(loaded, NAMES).state) == {"model.a", "b"}


def test_file_without_tensors_is_refused():
    with pytest.raises(ConfigError, match="no state_dict"):
        part_that_fits({"epoch": 3}, NAMES)


def test_differences_name_three_keys_of_each_kind():
    shapes = {f"layer{n}.weight": torch.Size([2]) for n in range(5)}
    found = {"layer0.weight": torch.zeros(3), "a": torch.zeros(1)}
    text = differences(found, shapes)
    assert text == (
        "missing: layer1.weight, layer2.weight, layer3.weight and 1 more; "
        "of other shape: layer0.weight (3,) in place of (2,); not expected: a"
    )


def test_classifier_beside_all_that_is_expected_is_no_difference():
    assert differences(state() | {"fc.weight": torch.zeros(1)}, SHAPES) is None
