"""The joint tree: levels, chains, mirror joints, masks by name, and refused trees."""

import numpy as np
import pytest

from smil_ray.core.skeleton import Skeleton, chain_length
from smil_ray.errors import ConfigError, ModelFileError

TREE = Skeleton(
    ("b_t", "b_a_1", "b_a_2", "b_h", "ma_l", "ma_r", "l_1_co_l"), (-1, 0, 1, 0, 3, 3, 0)
)


def test_levels_and_children_follow_the_parents():
    assert TREE.levels == ((0,), (1, 3, 6), (2, 4, 5))
    assert TREE.children[0] == (1, 3, 6)
    assert TREE.children[2] == ()
    assert (TREE.n_joints, TREE.n_pose) == (7, 6)


def test_body_chain_runs_from_abdomen_to_head():
    assert [TREE.joint_names[j] for j in TREE.body_chain] == ["b_a_2", "b_a_1", "b_t", "b_h"]


def chain_of(skeleton: Skeleton) -> list[str]:
    return [skeleton.joint_names[joint] for joint in skeleton.body_chain]


MOUSE = {
    "pelvis": None,
    "spine_1": "pelvis",
    "spine_2": "spine_1",
    "neck": "spine_2",
    "head": "neck",
    "ear_l": "head",
    "ear_tip_l": "ear_l",
    "ear_r": "head",
    "ear_tip_r": "ear_r",
    "tail_base": "pelvis",
    "tail_1": "tail_base",
    "tail_tip": "tail_1",
    "thigh_l": "pelvis",
    "shin_l": "thigh_l",
    "foot_l": "shin_l",
    "thigh_r": "pelvis",
    "shin_r": "thigh_r",
    "foot_r": "shin_r",
}


def mouse(*named: str) -> Skeleton:
    names = tuple(MOUSE)
    parents = tuple(-1 if up is None else names.index(up) for up in MOUSE.values())
    return Skeleton(names, parents, named)


def test_body_chain_of_a_mouse_leaves_out_tail_ears_and_legs():
    assert chain_of(mouse()) == ["pelvis", "spine_1", "spine_2", "neck", "head"]


def test_body_chain_of_names_in_camel_case_leaves_out_sides_and_tail():
    tree = {"Pelvis": -1, "Spine1": 0, "Neck": 1, "Head": 2, "LEar": 3, "REar": 3}
    tree |= {"LFLeg1": 1, "LFToe": 6, "RFLeg1": 1, "RFToe": 8, "Tail1": 0, "Tail2": 10}
    skeleton = Skeleton(tuple(tree), tuple(tree.values()))
    assert chain_of(skeleton) == ["Pelvis", "Spine1", "Neck", "Head"]


def test_body_chain_of_a_person_runs_along_the_spine():
    tree = {"pelvis": -1, "L_Hip": 0, "R_Hip": 0, "spine1": 0, "L_Knee": 1, "R_Knee": 2}
    tree |= {"spine2": 3, "L_Ankle": 4, "R_Ankle": 5, "neck": 6, "head": 9}
    assert chain_of(Skeleton(tuple(tree), tuple(tree.values()))) == [
        *("pelvis", "spine1", "spine2", "neck", "head")
    ]


def test_body_chain_of_joints_without_telling_names_is_the_longest_path():
    fork = Skeleton(("joint_00", "joint_01", "joint_02", "joint_03"), (-1, 0, 1, 0))
    assert sorted(fork.body_chain) == [0, 1, 2, 3]
    assert "(the longest path; the joints' names do not" in fork.describe_chain()


def test_body_chain_is_the_one_that_the_model_names_with_what_lies_between():
    named = mouse("tail_base", "neck")
    assert chain_of(named) == ["tail_base", "pelvis", "spine_1", "spine_2", "neck"]
    assert named.describe_chain() == "tail_base - pelvis - spine_1 - spine_2 - neck"
    assert mouse().describe_chain().endswith("head (by the joints' names)")


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (("pelvis", "nek"), "unknown joint 'nek'.*'neck'"),
        (("neck",), "two or more joints.*found neck"),
        (("pelvis", "neck", "pelvis"), "two or more joints"),
        (("neck", "pelvis", "head"), "two or more joints"),
    ],
)
def test_body_chain_that_is_none_is_refused(chain, message):
    with pytest.raises(ModelFileError, match=message):
        mouse(*chain)


def test_chain_length_sums_bones_for_any_leading_axes():
    points = np.zeros((2, 7, 3))
    points[:, 2, 0], points[:, 1, 0], points[:, 3, 1] = -3.0, -1.0, 2.0
    assert np.allclose(chain_length(points, TREE.body_chain), [5.0, 5.0])


def test_mirror_swaps_sides_and_keeps_what_has_no_partner():
    assert TREE.mirror == (0, 1, 2, 3, 5, 4, 6)


def test_mask_is_true_at_names_and_unknown_names_get_the_nearest():
    assert np.flatnonzero(TREE.mask(["b_h", "ma_l"])).tolist() == [3, 4]
    with pytest.raises(ConfigError, match=r"unknown joint 'ma_1'.*'ma_[lr]'"):
        TREE.mask(["ma_1"])


@pytest.mark.parametrize(
    ("names", "parents"),
    [
        (("a", "b"), (-1,)),
        ((), ()),
        (("a", "a"), (-1, 0)),
        (("a", "b"), (-1, -1)),
        (("a", "b", "c"), (-1, 2, 0)),
        (("a", "b"), (0, 0)),
    ],
)
def test_impossible_trees_are_refused(names, parents):
    with pytest.raises(ModelFileError):
        Skeleton(names, parents)
