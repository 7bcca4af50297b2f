"""Joints are sorted into parts of the body by their names, or not at all."""

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.joint_groups import joint_groups


def test_insect_has_its_parts_and_no_joint_twice() -> None:
    names = SmilModel.builtin().skeleton.joint_names
    groups = joint_groups(names)
    assert {name: len(joints) for name, joints in groups.items()} == {
        "legs": 36,
        "antennae": 6,
        "wings": 4,
        "mouthparts": 2,
        "body": 7,
    }
    members = sorted(joint for joints in groups.values() for joint in joints)
    assert members == list(range(len(names)))
    assert all(names[joint].startswith("an_") for joint in groups["antennae"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["pelvis", "left_hip", "spine1", "left_knee", "R_Shoulder", "head"],
            {"legs": (1, 3), "arms": (4,), "body": (0, 2, 5)},
        ),
        (
            ["Root", "LeftFrontLeg2", "Tail3", "leftAntenna", "Thorax"],
            {"legs": (1,), "antennae": (3,), "tail": (2,), "body": (0, 4)},
        ),
        (["l_1_hip", "l_2_hip", "b_head", "x"], {"legs": (0, 1), "body": (2,)}),
    ],
)
def test_words_in_names_tell_the_part(names: list[str], expected: dict) -> None:
    assert joint_groups(names) == expected


@pytest.mark.parametrize(
    "names", [["j0", "j1", "leg", "head", "j4"], ["leg1", "leg2"], ["root"], ["a_1", "b_2", "c_3"]]
)
def test_names_that_do_not_tell_give_no_groups(names: list[str]) -> None:
    assert joint_groups(names) == {}
