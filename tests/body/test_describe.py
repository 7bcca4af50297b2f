"""A model in words."""

from dataclasses import replace

from smil_ray.body.describe import describe
from smil_ray.body.smil_model import SmilModel
from tests.body.small_models import small_arrays


def test_description_names_every_joint_in_tree_order_with_counts() -> None:
    text = describe(SmilModel.from_arrays(small_arrays(posedirs=True)))
    lines = text.splitlines()
    assert "small" in lines[0]
    names = [line.split()[1] for line in lines[-5:]]
    assert names == ["b_t", "b_a", "l_l", "l_l_end", "l_r"]
    assert "8 x 3 x 36" in text
    assert "regressed from the shape" in text
    assert lines[-2].index("l_l_end") > lines[-3].index("l_l")


def test_description_of_a_static_model_says_what_is_absent() -> None:
    arrays = replace(small_arrays(static=True), joint_regressor=None, scaledirs=None)
    text = describe(SmilModel.from_arrays(arrays))
    assert "static, as in the file" in text
    assert text.count("none") == 5
