import json
import multiprocessing
from pathlib import Path

import pytest

from smil_ray.config import Config
from smil_ray.errors import SmilRayError
from smil_ray.tracking.code_version import code_version
from smil_ray.tracking.run_dir import RunDir, write_atomic


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "ants", Config(), "train", facts={"data_hash": "abc"})


def test_create_writes_what_a_repetition_needs(run: RunDir) -> None:
    facts = run.facts()
    assert facts["kind"] == "train"
    assert facts["data_hash"] == "abc"
    assert {"git_commit", "command", "packages", "python", "created"} <= set(facts)
    assert facts["packages"]["torch"]
    assert run.load_config() == Config()
    assert run.status()["state"] == "created"


def test_create_twice_in_one_second_gives_two_folders(tmp_path: Path) -> None:
    names = {RunDir.create(tmp_path, "ants", Config(), "train").path.name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("ants-") for name in names)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_create_with_a_path_as_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SmilRayError, match="name"):
        RunDir.create(tmp_path, name, Config(), "train")


def test_open_of_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SmilRayError, match="not a run folder"):
        RunDir.open(tmp_path)


def test_metrics_come_back_line_by_line(run: RunDir) -> None:
    run.append_metrics(1, {"train/loss/total": 2.0}, epoch=0.5, sync=False)
    run.append_metrics(2, {"val/mpjpe": 3.0}, epoch=1.0)
    lines = run.read_metrics()
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[1]["metrics"] == {"val/mpjpe": 3.0}
    assert lines[0]["epoch"] == 0.5


def test_truncate_drops_later_steps_and_a_torn_line(run: RunDir) -> None:
    for step in range(1, 6):
        run.append_metrics(step, {"a": float(step)})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 6, "metr')
    run.truncate_metrics(3)
    assert [line["step"] for line in run.read_metrics()] == [1, 2, 3]
    run.append_metrics(4, {"a": 4.0})
    assert [line["step"] for line in run.read_metrics()] == [1, 2, 3, 4]


def test_status_of_an_unknown_state_is_refused(run: RunDir) -> None:
    with pytest.raises(ValueError, match="state"):
        run.set_status("happy")


def test_write_atomic_failing_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomic(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(file, "\ud800")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_facts_of_a_broken_run_name_the_file(run: RunDir) -> None:
    (run.path / "run.json").write_text("{")
    with pytest.raises(SmilRayError, match=r"run\.json"):
        run.facts()


def test_lock_held_by_another_process_is_refused(run: RunDir) -> None:
    context = multiprocessing.get_context("fork")
    locked, done = context.Event(), context.Event()

    def hold() -> None:
        with run.lock():
            locked.set()
            done.wait(10)

    other = context.Process(target=hold)
    other.start()
    assert locked.wait(10)
    with pytest.raises(SmilRayError, match="in use"), run.lock(wait_s=0.0):
        pass
    done.set()
    other.join()
    with run.lock(wait_s=1.0):
        pass


def test_code_version_outside_a_checkout_is_unknown(tmp_path: Path) -> None:
    version, diff = code_version(tmp_path)
    assert version == {"git_commit": None, "git_dirty": None}
    assert diff == ""


def test_run_json_is_plain_json(run: RunDir) -> None:
    run.update_facts({"parameters": 7})
    assert json.loads((run.path / "run.json").read_text())["parameters"] == 7
    assert run.facts()["data_hash"] == "abc"
