"""`synthesize`: complete, resumable, the same files however many workers."""

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.errors import ConfigError, DataError
from smil_ray.orchestration.synth import CHUNK, synthesize

OPTIONS = SynthOptions(samples=3, image_size=64, seed=1, name="few")


def digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()


def test_synthesize_writes_every_file_and_reports_progress(tmp_path: Path) -> None:
    seen = []
    report = synthesize(tmp_path / "a", OPTIONS, 1, progress=lambda *done: seen.append(done))
    assert (report.written, report.kept) == (3, 0)
    assert seen == [(3, 3)]
    visible = [path for path in (tmp_path / "a").iterdir() if not path.name.startswith(".")]
    assert len(visible) == 3 * 3 + 1


def test_interrupted_job_does_only_what_is_missing(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    synthesize(whole, OPTIONS, 1)
    synthesize(broken, OPTIONS, 1)
    # The annotation comes last: a picture without one is an unfinished sample.
    (broken / "few_01.json").unlink()
    (broken / "few_01.JPG").write_bytes(b"half a pic")
    (broken / "_BatchData_few.json").unlink()
    report = synthesize(broken, OPTIONS, 1)
    assert (report.written, report.kept) == (1, 2)
    assert digest(whole) == digest(broken)


def test_folder_of_other_options_is_refused(tmp_path: Path) -> None:
    synthesize(tmp_path, OPTIONS, 1)
    with pytest.raises(DataError, match="other options"):
        synthesize(tmp_path, OPTIONS.model_copy(update={"seed": 2}), 1)


def test_folder_with_foreign_files_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "few_00.JPG").write_bytes(b"a photo")
    with pytest.raises(DataError, match="already has files"):
        synthesize(tmp_path, OPTIONS, 1)


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        synthesize(tmp_path / "taken", OPTIONS, 1)


def test_no_workers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_workers"):
        synthesize(tmp_path, OPTIONS, 0)


DEADLY = """
import os, signal, sys
from pathlib import Path
from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.orchestration import synth

write = synth._write

def write_until_the_end(path, content):
    if path.name == "few_05.json":
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)

synth._write = write_until_the_end
synth.synthesize(Path(sys.argv[1]), SynthOptions.model_validate_json(sys.argv[2]), 1)
"""


@pytest.mark.slow
def test_killed_job_ends_with_the_same_files_when_started_again(tmp_path: Path) -> None:
    """It dies within a sample: its picture is there, its annotation is not."""
    options = OPTIONS.model_copy(update={"samples": 10})
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", DEADLY, str(killed), options.model_dump_json()]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (killed / "few_05.JPG").is_file()
    (killed / ".few_09.JPG.1.tmp").write_bytes(b"cut")
    report = synthesize(killed, options, 1)
    assert (report.kept, report.written) == (5, 5)
    synthesize(tmp_path / "whole", options, 1)
    assert digest(tmp_path / "whole") == digest(killed)


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_files_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"samples": 2 * CHUNK + 3})
    one = synthesize(tmp_path / "one", options, 1)
    two = synthesize(tmp_path / "two", options, 2)
    assert one.written == two.written == 2 * CHUNK + 3
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
