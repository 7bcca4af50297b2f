"""Joint limits: by name from YAML, in degrees, and cautious ones for models without."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.core.skeleton import Skeleton
from smil_ray.data.synthetic.poses._limits import default_limits, no_limits, read_joint_limits
from smil_ray.errors import ConfigError
from tests.data.synthetic.quadruped import quadruped

ANIMAL = quadruped()


def test_default_limits_let_limbs_begin_wide_and_knees_bend_in_their_plane() -> None:
    limits = default_limits(ANIMAL.skeleton, ANIMAL.rest_joints)
    index = ANIMAL.skeleton.index
    assert (limits[..., 0] == -limits[..., 1]).all()
    knee = limits[index["hind_shank_left"], :, 1]
    assert knee[1] > 2 * max(knee[0], knee[2])  # The leg lies in the plane of x and z.
    assert limits[index["chest"], 0, 1] < limits[index["fore_thigh_left"], 1, 1]


def test_file_replaces_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("neck: [-10, 20]\nhead:\n  y: [-45, 90]\n")
    base = no_limits(ANIMAL.skeleton)
    limits = np.degrees(read_joint_limits(path, ANIMAL.skeleton, base))
    index = ANIMAL.skeleton.index
    np.testing.assert_allclose(limits[index["neck"]], [[-10, 20]] * 3)
    np.testing.assert_allclose(limits[index["head"]], [[-180, 180], [-45, 90], [-180, 180]])
    np.testing.assert_allclose(limits[index["tail"]], [[-180, 180]] * 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nek: [-10, 20]", "unknown joint 'nek'.*nearest joint is 'neck'"),
        ("neck: [20, -10]", r"neck\.x.*\[least, greatest\] in degrees"),
        ("neck: {w: [0, 1]}", r"neck\.w.*x, y or z"),
        ("neck: 12", "neck.*least, greatest"),
        ("neck: [0, 400]", "neck.*least, greatest"),
        ("- neck", "expected a mapping"),
    ],
)
def test_mistake_in_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_joint_limits(path, ANIMAL.skeleton, no_limits(ANIMAL.skeleton))


def test_joint_that_goes_on_straight_has_no_hinge() -> None:
    chain = Skeleton(("a", "b", "c", "d"), (-1, 0, 1, 2))
    straight = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    limits = default_limits(chain, straight)
    assert (limits[1:, :, 1] == limits[1:, :1, 1]).all()
