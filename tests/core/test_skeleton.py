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


def test_body_chain_of_another_animal_is_its_longest_path():
    fork = Skeleton(("hip", "knee", "foot", "neck"), (-1, 0, 1, 0))
    assert sorted(fork.body_chain) == [0, 1, 2, 3]


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
