"""Results that are there are not made again; other settings are never mixed; kills lose little."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smil_ray.core.params import SmilParams
from smil_ray.errors import ConfigError
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.parts import PartStore
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.video import FrameRange
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.results.prediction.prediction_files import record, table, write, write_video


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that the network was asked about."""
    seen: list[str] = []
    original = Predictor.ask

    def ask(self: Predictor, questions: list) -> SmilParams:
        seen.extend(question.picture.path.name for question in questions)
        return original(self, questions)

    monkeypatch.setattr(Predictor, "ask", ask)
    return seen


QUICK = PredictOptions(overlays=False)


def test_only_what_is_missing_is_done(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path, asked: list[str]
) -> None:
    paths = [write(tmp_path / f"{name}.png", photo) for name in "abc"]
    out = tmp_path / "out"
    predict_images(loaded, paths[:2], out, options=QUICK)
    report = predict_images(loaded, paths, out, options=QUICK)
    assert asked == ["a.png", "b.png", "c.png"]
    assert (report.done, report.found_done) == (("a", "b", "c"), 2)
    assert [row["name"] for row in table(out, "animals.csv")] == ["a", "b", "c"]


def test_names_of_results_stay_when_files_of_equal_names_come_before(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    old, new = (write(tmp_path / folder / "p.png", photo) for folder in "ba")
    out = tmp_path / "out"
    assert predict_images(loaded, [old], out, options=QUICK).done == ("p",)
    report = predict_images(loaded, [new, old], out, options=QUICK)
    assert report.done == ("p_2", "p")
    sources = {row["name"]: row["source"] for row in table(out, "animals.csv")}
    assert sources == {"p": str(old), "p_2": str(new)}


def test_file_with_another_content_is_done_again(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path, asked: list[str]
) -> None:
    path = write(tmp_path / "a.png", photo)
    out = tmp_path / "out"
    predict_images(loaded, [path], out)
    before = record(out, "a")["joints_3d"]
    picture = (out / "overlays" / "a.png").read_bytes()
    write(path, 255 - photo)
    os.utime(path, ns=(1, 1))
    predict_images(loaded, [path], out)
    assert asked == ["a.png", "a.png"]
    assert np.abs(record(out, "a")["joints_3d"] - before).max() > 1e-6
    assert (out / "overlays" / "a.png").read_bytes() != picture


def test_missing_frames_of_a_video_are_done(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path, asked: list[str]
) -> None:
    film = write_video(tmp_path / "f.mp4", [photo] * 10)
    out = tmp_path / "out"
    first = replace(QUICK, frames=FrameRange(0, 6, 2))
    assert len(predict_images(loaded, [film], out, options=first).done) == 3
    report = predict_images(loaded, [film], out, options=QUICK)
    assert (len(asked), len(report.done), report.found_done) == (10, 10, 3)
    assert [int(row["frame"]) for row in table(out, "animals.csv")] == list(range(10))


def test_results_of_another_camera_are_refused_until_told_to_begin_anew(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    out = tmp_path / "out"
    predict_images(loaded, [path], out, options=QUICK)
    camera = KnownCamera.from_fov(40.0)
    with pytest.raises(ConfigError, match=r"holds results of another camera.*--fresh"):
        predict_images(loaded, [path], out, camera=camera, options=QUICK)
    fresh = replace(QUICK, fresh=True)
    report = predict_images(loaded, [path], out, camera=camera, options=fresh)
    assert (report.done, report.found_done) == (("a",), 0)


def test_half_written_part_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / ".000003.npz.partial").write_bytes(b"half")
    store = PartStore(tmp_path)
    assert (store.paths, list(tmp_path.iterdir())) == ((), [])


@pytest.mark.slow
def test_killed_prediction_goes_on_where_it_was(
    insect_run: Path, photo: np.ndarray, tmp_path: Path
) -> None:
    """497 of 500 pictures; killed with some of them done, the rest is done by the next call."""
    folder = tmp_path / "pictures"
    first = write(folder / "000.png", photo)
    for number in range(1, 500):
        (folder / f"{number:03d}.png").write_bytes(first.read_bytes())
    for number in (7, 250, 499):
        (folder / f"{number:03d}.png").write_bytes(first.read_bytes()[:-40])
    out = tmp_path / "out"
    command = [sys.executable, "-m", "smil_ray", "predict", str(insect_run), str(folder)]
    command += ["--out", str(out), "--no-overlays", "--batch-size", "2"]
    code = (
        "import sys; from smil_ray.results.prediction import rows; rows.ROWS_A_PART = 20;"
        "from smil_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    slow = [sys.executable, "-c", code, *command[3:]]
    process = subprocess.Popen(slow, stdout=subprocess.DEVNULL)
    parts = out / "parts"
    while process.poll() is None and len(list(parts.glob("*.npz"))) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_done = len(list(PartStore(parts).entries()))
    assert 60 <= n_done < 497
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    said = " ".join(second.stdout.split())
    assert f"497 of 500 done ({n_done} of them before)" in said
    assert said.count("failed: ") == 3
    assert all(f"{number:03d}.png" in said for number in (7, 250, 499))
    names = [row["name"] for row in table(out, "animals.csv")]
    assert (len(names), len(set(names))) == (497, 497)


@pytest.mark.slow
def test_long_video_needs_no_more_memory_than_a_short_one(
    insect_run: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (480, 640, 3), dtype=np.uint8) for _ in range(5)]
    peaks = []
    code = (
        "import resource, sys; from smil_ray.cli.main import main;"
        "code = main(sys.argv[1:]);"
        "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)); sys.exit(code)"
    )
    for count in (100, 1000):
        film = write_video(
            tmp_path / f"f{count}.avi", (frames[number % 5] for number in range(count))
        )
        arguments = ["predict", str(insect_run), str(film), "--out", str(tmp_path / str(count))]
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < peaks[0] + 60_000  # kB; 900 frames more are 830,000 kB.
