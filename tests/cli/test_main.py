"""The command line: help that teaches, spellings, and one sentence for every mistake."""

import argparse
import importlib
import re

import pytest

from smil_ray import __version__
from smil_ray.cli import exit as cli_exit
from smil_ray.cli.exit import exit_code
from smil_ray.cli.main import build_parser, kebab, main
from smil_ray.errors import ConfigError

(_CHOICES,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
COMMANDS = tuple(_CHOICES.choices)


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_command_and_the_way_from_images_to_a_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = help_of([], capsys)
    listed = re.findall(r"^    ([a-z-]+)\s", text, flags=re.MULTILINE)
    assert set(listed) == set(COMMANDS)
    assert "from images to a trained network:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_a_summary_and_an_example_that_parses(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of([command], capsys)
    head, _, shown = text.rpartition("example:\n  ")
    if not head:  # A command of commands: each of them has its own.
        assert "ACTION" in text
        return
    example = shown.split()
    assert example[:2] == ["smil-ray", command]
    parsed = build_parser().parse_args(example[1:])
    assert parsed.command == command
    summary = text.split("\n\n")[1]
    assert summary.strip().endswith(".")


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "refine", "predict"])
def test_help_calls_a_trained_network_run(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of([command], capsys)
    assert re.search(r"^  RUN +a run folder", text, flags=re.MULTILINE)


def test_examples_of_the_main_help_parse(capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"^  smil-ray (.*?)(?:  +.*)?$", help_of([], capsys), flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        build_parser().parse_args(line.split())


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"smil-ray {__version__}\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--num_workers", "2"], ["--num-workers", "2"]),
        (["--out_dir=a_b"], ["--out-dir=a_b"]),
        (["a_b", "-x_y", "--set", "a_b=c_d"], ["a_b", "-x_y", "--set", "a_b=c_d"]),
    ],
)
def test_snake_case_flags_are_the_kebab_case_ones(given: list[str], meant: list[str]) -> None:
    assert kebab(given) == meant


def test_flags_of_the_seed_are_understood() -> None:
    seed = "preprocess in/ out.h5 --silhouette_threshold 0.15 --backbone vit_large_patch16_224 "
    seed += "--min_visible_keypoints 10 --num_workers 8"
    parsed = build_parser().parse_args(kebab(seed.split()))
    assert (parsed.silhouette_threshold, parsed.min_visible_keypoints) == (0.15, 10)
    assert (parsed.backbone, parsed.num_workers) == ("vit_large_patch16_224", 8)
    seed = "check-ground-truth --data a.h5 --sample-index 5 --tolerance-3d-keypoints 0.15"
    parsed = build_parser().parse_args(kebab([*seed.split(), "--test_3d_keypoints"]))
    assert (parsed.sample_index, parsed.tolerance_3d_keypoints) == (5, 0.15)
    assert parsed.test_3d_keypoints


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["synth"],
        ["synth", "a", "--samples", "0"],
        ["synth", "a", "--samples", "many"],
        ["synth", "a", "--occlusion", "1.5"],
        ["preprocess", "a", "b.h5", "--crop", "circle"],
        ["check-ground-truth", "--data", "a", "--tolerance-3d-keypoints", "-1"],
        ["evaluate", "run", "--split", "train"],
        ["predict", "run", "a.jpg"],
    ],
)
def test_usage_mistakes_end_with_usage_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: smil-ray")


def test_every_way_to_end_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(error: BaseException) -> int:
        def run() -> int:
            raise error

        return exit_code("x", run, remedy="try again")

    assert exit_code("x", lambda: 1) == 1
    assert ends(ConfigError("a", expected="b")) == cli_exit.MISTAKE
    assert ends(PermissionError(13, "Permission denied", "/locked/x")) == cli_exit.MISTAKE
    assert ends(OSError(28, "No space left on device")) == cli_exit.MISTAKE
    assert ends(KeyboardInterrupt()) == cli_exit.INTERRUPTED
    assert capsys.readouterr().err == (
        "x: a; expected b.\n"
        "x: /locked/x cannot be used: Permission denied.\n"
        "x: a result cannot be written: No space left on device.\n"
        "x: interrupted; try again\n"
    )
    with pytest.raises(OSError, match="no file"):
        ends(OSError("no file"))


@pytest.mark.parametrize(("command", "said"), [("synth", "only what is missing"), ("doctor", "")])
def test_interrupted_command_says_how_to_go_on_where_it_can(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    module = importlib.import_module(f"smil_ray.cli.{command}")
    monkeypatch.setattr(module, f"_{command}", interrupt)
    assert main([command, "a"]) == cli_exit.INTERRUPTED
    error = capsys.readouterr().err
    assert error.startswith(f"smil-ray {command}: interrupted")
    assert error.strip().endswith(said or "interrupted")
