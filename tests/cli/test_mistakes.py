"""Bad input through the real command line: one clear sentence and exit code 2."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from smil_ray.body.model_file.reading import write_npz
from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from tests.insect_data import write_insects

Place = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, insect_file: Path, insect_run: Path) -> Place:
    """Fill in the names of things that are wrong (`{empty}`) or right (`{data}`, `{run}`)."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder, no data, no model")
    (tmp_path / "cut.h5").write_bytes(insect_file.read_bytes()[:5000])
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    shutil.copy(insect_file, tmp_path / "newer.h5")
    with h5py.File(tmp_path / "newer.h5", "r+") as newer:
        newer["metadata"].attrs["schema_version"] = 99
    (tmp_path / "Käfer Ärger").mkdir()
    (tmp_path / "Käfer Ärger" / "käfer_00.json").write_text('{"iterationData": {}}')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("train: {epochs: 1}\n")
    known = {
        "data": insect_file,
        "trained": insect_run,
        "new": tmp_path / "new",
        "cut": tmp_path / "cut.h5",
        "newer": tmp_path / "newer.h5",
        "model": write_npz(SmilModel.builtin().source, tmp_path / "insect.npz"),
        "umlauts": tmp_path / "Käfer Ärger",
        "photo": tmp_path / "photo.jpg",
        **{name: tmp_path / name for name in ("empty", "file", "run")},
    }
    return lambda text: text.format(**known)


CASES = {
    "evaluate {trained} --device cuda:99": "choose cpu or auto",
    "evaluate {trained} --device warp": "expected auto, cpu, cuda or cuda:N; found 'warp'",
    "predict {trained} {photo} --out {new} --device cuda:99": "choose cpu or auto",
    "check-ground-truth --data {data} --device cuda:99": "choose cpu or auto",
    "check-ground-truth --data {data} --device mps": "expected auto, cpu, cuda or cuda:N",
    "cache build --data {data} --device cuda:99": "choose cpu or auto",
    "cache build --data {data} --device gpu": "expected auto, cpu, cuda or cuda:N; found 'gpu'",
    "cache build --data {data} --device cuda:0 --num-workers 2": "choose cuda, which is all GPUs",
    "preprocess {umlauts} {new} --crops-per-sample 2": "--crop bbox",
    "preprocess {umlauts} {new} --crop bbox --crop-margin 0.5 0.2": "the first is the smaller",
    "preprocess {umlauts} {new} --crop bbox --crop-margin -1 0.2": "greater than or equal to 0",
    "doctor {empty}": "no replicAnt annotation",
    "doctor {new}": "no such folder; expected a replicAnt data set; found nothing",
    "doctor {data}": "no such folder; expected a replicAnt data set; found a file",
    "doctor {umlauts} --json {file}/a.json": "Not a directory",
    "doctor {empty} --model {new}": "no such model file",
    "preprocess {empty} {new}.h5": "no replicAnt annotation",
    "preprocess {new} {new}.h5": "no such folder",
    "preprocess {data} {new}.h5": "no such folder; expected a replicAnt data set; found a file",
    "preprocess {umlauts} {empty}": "expected a file to write; found a folder",
    "preprocess {umlauts} {file}/a.h5": "cannot be written",
    "preprocess {umlauts} {photo}": "found a file of another kind; name OUTPUT.h5 last",
    "preprocess {umlauts} {new}.h5 --only {new}": "cannot be read as a list of names",
    "preprocess {umlauts} {new}.h5 --only {file}": "no entry of the input is in the list",
    "preprocess {umlauts} {new}.h5 --only {photo}": "cannot be read as a list of names",
    "preprocess {empty} {new}.h5 --model {new}": "no such model file",
    "preprocess {empty} {new}.h5 --model {file}": "not a readable pickle",
    "preprocess {empty} {new}.h5 --backbone resnet_of_dreams": "expected a timm model name",
    "preprocess {empty} {new}.h5 --jpeg_quality 101": "less than or equal to 100; found 101",
    "preprocess {empty} {new}.h5 --image-size 4": "greater than or equal to 16; found 4",
    "preprocess {empty} {new}.h5 --ignored-joints b_x": "unknown joint 'b_x'; the nearest",
    "synth {file}": "cannot be written",
    "synth {new} --image-size 8": "greater than or equal to 32; found 8",
    "synth {new} --lowest-view-deg 100": "less than or equal to 85",
    "synth {new} --name a/b": "a file name of letters",
    "synth {umlauts} --name käfer": "already has files named käfer_*",
    "synth {new} --pose-range 3": "less than or equal to 2",
    "synth {new} --model {file}": "file",
    "synth {new} --joint-limits {empty}": "empty cannot be read",
    "synth {new} --pose-from {cut}": "cut.h5",
    "synth {new} --seed 99999999999999999999": "less than",
    "inspect {new}": "found no such file",
    "inspect {file}": "found other content",
    "inspect {photo}": "found other content",
    "inspect {cut}": "",
    "inspect {empty}": "no replicAnt annotation",
    "inspect {umlauts}": "no usable sample",
    "inspect {newer}": "expected 1 or 2; found 99; install a newer",
    "inspect {data} --model {new}": "no such model file",
    "inspect {data} --out {file}/sheet.png": "cannot be written",
    "convert-model {new} {new}.npz": "no such model file",
    "convert-model {file} {new}.npz": "not a readable pickle",
    "convert-model {model} {new}.pkl": "expected a name that ends in .npz",
    "show-model {new}": "no such model file",
    "show-model builtin --out {file}": "File exists",
    "check-ground-truth --data {new}": "found no such file",
    "check-ground-truth --data {file}": "found other content",
    "check-ground-truth --data {cut}": "",
    "check-ground-truth --data {newer}": "expected 1 or 2; found 99; install a newer",
    "check-ground-truth --data {empty}": "no replicAnt annotation",
    "check-ground-truth --data {data} --sample-index 16": "expected 0 to 15; found 16",
    "check-ground-truth --data {data} --sample-index 0 --plots {file}": "File exists",
    "evaluate {new}": "neither a checkpoint nor a run folder",
    "evaluate {empty}": "neither a checkpoint nor a run folder",
    "evaluate {run}": "has no checkpoint yet; train longer",
    "evaluate {trained} --data {new}": "found no such file",
    "evaluate {trained} --data {newer}": "expected 1 or 2; found 99; install a newer",
    "evaluate {trained} --data {umlauts}": "no usable sample",
    "evaluate {trained} --json {file}/figures.json": "Not a directory",
    "evaluate {trained} --overlays {file}/sheet.png": "cannot be written",
    "report {run}": "has no checkpoint yet; train longer",
    "report {trained} --out {file}/page.html": "file",
    "report {trained} --out {empty}": "Is a directory",
    "predict {new} {photo} --out {new}": "neither a checkpoint nor a run folder",
    "predict {trained} {new}.jpg --out {new}": "new.jpg does not exist",
    "predict {trained} {empty} --out {new}": "No image to predict on",
    "predict {trained} {photo} --out {file}": "File exists",
    "predict {trained} {photo} --out {new} --box {file}": "expected file,x,y,w,h",
    "predict {trained} {photo} --out {new} --box {new}.csv": "cannot be read as boxes",
    "predict {trained} {photo} --out {new} --fov-deg 200": "degrees between 0 and 180",
    "predict {trained} {photo} --out {new} --intrinsics 1 2 3": "expected fx, fy, cx, cy",
    "predict {trained} {photo} --out {new} --intrinsics {file}": "expected file,fx,fy,cx,cy",
    "predict {trained} {umlauts} --out {new}": "No image to predict on",
    "cache rm nothing --dir {new}": "No cache in",
    "cache rm --dir {new}": "No cache to remove",
    "cache build --dir {new}": "data.path",
    "cache build --data {file} --backbone test_vit --dir {new}": "found other content",
    "cache build --data {data} --backbone test_vit --weights {photo} --dir {new}": "other content",
    "cache build --data {data} --backbone of_dreams --dir {new}": "a timm model name",
}


@pytest.mark.parametrize("command", CASES)
def test_mistake_is_one_sentence_and_exit_code_2(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([place(word) for word in command.split()]) == 2
    out, error = capsys.readouterr()
    assert error.startswith(f"smil-ray {command.split()[0]}: ")
    assert CASES[command] in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert "0/?" not in out


def test_damaged_checkpoint_is_one_sentence(
    insect_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = (insect_run / "checkpoints").glob("epoch_*")
    copy = tmp_path / source.name
    copy.mkdir()
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main(["evaluate", str(copy)]) == 2
    error = capsys.readouterr().err
    assert "model.safetensors" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("where", "found"),
    [("builtin", "another model in builtin"), ("/gone/beetle.npz", "no such model file")],
)
def test_data_of_a_lost_body_model_name_it(
    where: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builtin = SmilModel.builtin()
    arrays = replace(builtin.source, v_template=1.1 * builtin.source.v_template)
    beetle = replace(builtin, name="my_beetle", source=arrays)
    path = write_insects(tmp_path / "lost.h5", model=beetle, place=where)
    assert main(["check-ground-truth", "--data", str(path)]) == 2
    error = capsys.readouterr().err
    assert "made with the body model 'my_beetle'" in error
    assert found in error
    assert "--model FILE" in error


def test_broken_picture_is_named_and_the_command_says_so(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "predict {trained} {photo} --out {new}"
    assert main([place(word) for word in command.split()]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "0 of 1 done" in said
    assert "failed: " in said
    assert "damaged JPEG" in said
