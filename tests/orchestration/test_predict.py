"""Prediction shared out over Ray gives what one process gives."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.cli.main import main
from smil_ray.data.dataset import SmilDataset
from smil_ray.orchestration import predict
from smil_ray.results.prediction.options import PredictOptions, Work
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.sources import make_plan
from smil_ray.training.checkpoint.loading import load_regressor
from tests.results.prediction.prediction_files import table, write, write_video


@pytest.fixture
def pictures(insect_file: Path, tmp_path: Path) -> Path:
    """A folder of twelve pictures, one of them broken, and a video."""
    data = SmilDataset.from_path(insect_file)
    folder = tmp_path / "pictures"
    found = [cv2.resize(data.sample(number).image, (64, 64)) for number in range(6)]
    for number in range(12):
        turned = np.rot90(found[number % 6], number // 6)
        write(folder / f"{number:02d}.png", np.ascontiguousarray(turned))
    (folder / "03.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    write_video(folder / "walk.mp4", found)
    return folder


def test_work_is_cut_into_videos_and_some_pictures_and_what_is_done_goes_along(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PICTURES", 5)
    plan = make_plan(sorted(pictures.iterdir()), "none", None)
    done = frozenset((source.label, source.stamp, 0, 0) for source in plan.sources[:6])
    work = Work(tuple(plan.sources), PredictOptions(), done, looks_twice=False)
    pieces = list(predict.pieces_of(work))
    assert sorted(len(piece.sources) for piece in pieces) == [1, 2, 5, 5]
    assert [s for piece in pieces for s in piece.sources if s.video] == [plan.sources[-1]]
    assert frozenset(key for piece in pieces for key in piece.done) == done
    assert all(
        key[0] in {s.label for s in piece.sources} for piece in pieces for key in piece.done
    )


@pytest.mark.usefixtures("shared_ray")
def test_results_and_failures_equal_those_of_one_process(
    insect_run: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Relative paths are those of the folder where the command was given.
    monkeypatch.chdir(tmp_path)
    command = ["predict", str(insect_run), "pictures", "--no-overlays", "--box", "none"]
    assert main([*command, "--out", "alone"]) == 1
    alone = capsys.readouterr().out
    assert main([*command, "--out", "spread", "--address", "local"]) == 1
    spread = capsys.readouterr().out
    assert "17 of 18 done" in alone
    assert "failed: pictures/03.png" in alone
    said = [text.replace("in spread", "in alone").splitlines()[1:] for text in (alone, spread)]
    assert said[0] == said[1]
    first, second = table(tmp_path / "alone"), table(tmp_path / "spread")
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if name in ("x_px", "y_px", "x", "y", "z"):
                assert float(other[name]) == pytest.approx(float(value), abs=1e-4), name
            elif name in ("source", "name", "frame", "animal", "joint"):
                assert other[name] == value


@pytest.mark.usefixtures("shared_ray")
def test_work_that_is_done_is_not_done_again(
    insect_run: Path, pictures: Path, tmp_path: Path
) -> None:
    files = sorted(pictures.glob("0*.png"))
    out = tmp_path / "out"
    options = PredictOptions(overlays=False)
    predict_images(insect_run, files[:3], out, boxes="none", options=options)
    loaded = load_regressor(insect_run)
    options = PredictOptions(overlays=False, spread=predict.spread_on_ray(loaded))
    report = predict_images(loaded, files, out, boxes="none", options=options)
    assert report.found_done == 3
    assert len(report.done) == len(files) - 1
