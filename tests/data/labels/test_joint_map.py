"""The joint map: its draft guesses sides rightly, its file is checked, its names are quoted."""

from pathlib import Path

import pytest
import yaml

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.labels.joint_map import draft, read_joint_map, resolve
from smil_ray.errors import ConfigError


def test_draft_guesses_names_and_lists_the_rest(insect: SmilModel) -> None:
    names = ("b_h", "B-T", "l1_coxa_left", "nonsense", "no")
    text = draft(names, insect.skeleton, "labels.slp")
    values = yaml.safe_load(text)
    assert tuple(values) == names
    assert (values["b_h"], values["B-T"]) == ("b_h", "b_t")
    assert values["nonsense"] is None
    assert values["l1_coxa_left"] == "l_1_co_l"
    rest = text.splitlines()[-1]
    assert rest.startswith("# Joints without a point: ")
    assert "b_a_5" in rest
    assert " b_h," not in rest


def test_finished_draft_is_read_and_resolved(tmp_path: Path, insect: SmilModel) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(draft(("B-T", "nonsense", "b_h"), insect.skeleton, "a"))
    found = resolve(("B-T", "nonsense", "b_h"), insect.skeleton, read_joint_map(path), "a")
    assert found == {0: insect.skeleton.index["b_t"], 2: insect.skeleton.index["b_h"]}


def test_equal_names_need_no_map(insect: SmilModel) -> None:
    assert resolve(("x", "b_h"), insect.skeleton, None, "a") == {1: insect.skeleton.index["b_h"]}


def test_map_of_other_things_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("nose: [b_h]\n")
    with pytest.raises(ConfigError, match=r"map\.yaml: nose; expected a joint's name"):
        read_joint_map(path)
