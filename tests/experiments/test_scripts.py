"""Every script of `experiments/`: its help teaches, its mistakes are one sentence."""

from pathlib import Path

import pytest

from tests.experiments.script import EXPERIMENTS, run_script

SCRIPTS = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_question_command_needs_and_expectation(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script(name, "--help") == 0
    text = capsys.readouterr().out
    for word in ("Question:", "Command:", "Needs:", "Expect:"):
        assert word in text, word


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "optim.learning_rat=1"], "the nearest valid key is 'optim.learning_rate'"),
        (["--set", "loss.base_weights.sillouette=1"], "unknown loss term 'sillouette'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--num_epochs", "none", "--data", "{data}"], "train.epochs"),
        ([], "No data to train on; give --data"),
        (["--data", "{missing}"], "found no such file"),
        (["--data", "{folder}"], "no replicAnt annotation"),
        (["--data", "{file}"], "found other content"),
        (["--data", "{data}", "--backbone", "resnet_of_dreams"], "expected a timm model name"),
        (["--data", "{data}", "--set", "body.model=gone.npz"], "gone.npz: no such model file"),
        (["--data", "{data}", "--output", "{file}"], "file"),
        (["--resume", "{missing}"], "missing"),
        (["--resume", "{folder}"], "folder"),
        (["--data", "{data}", "--set", "loss.base_weights.silhouette=1"], "the label 'mask'"),
        (["--data", "{data}", "--set", "loss.ignored_joints=[b_x]"], "unknown joint 'b_x'"),
        (["--data", "{data}", "--set", "run.name=a/b"], "expected a plain name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_in_training_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    insect_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("neither data nor folder")
    names = {name: tmp_path / name for name in ("missing", "folder", "file")}
    spelled = [word.format(data=insect_file, **names) for word in arguments]
    tiny = ["--set", "tracking.enabled=false"]
    if "--backbone" not in spelled:
        tiny += ["--backbone", "test_vit"]
    tiny += ["--execution", "inline"]
    assert run_script("train", *spelled, *tiny) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--samples", "0"], ["--seed", "-1"]])
def test_mistake_in_the_demo_ends_with_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script("demo", *arguments) == 2
    assert "expected a whole number of at least" in capsys.readouterr().err


@pytest.mark.slow
def test_demo_that_cannot_write_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert run_script("demo", "--output", tmp_path / "file") == 2
    error = capsys.readouterr().err
    assert error.startswith("demo.py: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name.startswith("tune_")])
def test_mistake_in_a_search_is_one_sentence_and_exit_code_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mistakes: dict[str, list[str | Path]] = {
        "final_epochs": ["--final_epochs", "-1"],
        "the nearest": ["--set", "optim.learning_rat=1"],
        "nowhere.yaml does not exist": ["--config", tmp_path / "nowhere.yaml"],
    }
    for message, arguments in mistakes.items():
        assert run_script(name, *arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
