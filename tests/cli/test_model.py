"""Commands about the body model: what they print and write."""

from pathlib import Path

import pytest

from smil_ray import SmilModel
from smil_ray.cli.main import main


def test_converted_model_has_the_body_chain_that_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = SmilModel.builtin().save(tmp_path / "a.npz"), tmp_path / "b.npz"
    command = ["convert-model", str(source), str(target)]
    assert main(command) == 0
    assert "100 % of body length: b_a_5 - b_a_4 - " in capsys.readouterr().out
    assert SmilModel.load(target).content_hash == SmilModel.builtin().content_hash
    assert main([*command, "--body-chain", "b_a_1, b_h"]) == 0
    assert "100 % of body length: b_a_1 - b_t - b_h\n" in capsys.readouterr().out
    assert SmilModel.load(target).body_length < SmilModel.builtin().body_length
    assert main([*command, "--body-chain", "b_a_1,b_g"]) == 2
    assert "unknown joint 'b_g'" in capsys.readouterr().err


def test_shown_model_has_every_joint_of_its_body_chain_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show-model", "builtin"]) == 0
    (line,) = (s for s in capsys.readouterr().out.splitlines() if s.startswith("body length"))
    chain = "b_a_5 - b_a_4 - b_a_3 - b_a_2 - b_a_1 - b_t - b_h"
    assert line.endswith(f"along {chain} (by the joints' names)")
