"""Videos: frames in order and by number, ranges, damaged files, overlays of the same length."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.errors import ConfigError, DataError
from smil_ray.results.prediction.boxes import read_boxes
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.video import FrameRange, VideoWriter, read_frames, video_info
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.results.prediction.prediction_files import record, table, write, write_video


def shade(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A grey frame that tells its number."""
    return np.full((size[1], size[0], 3), 8 * number, np.uint8)


def numbers(path: Path, frames: FrameRange) -> list[tuple[int, int]]:
    """Number of each frame, and what its grey says it is."""
    found = read_frames(path, frames)
    return [(number, round(float(rgb.mean()) / 8)) for number, rgb in found]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return write_video(path, (shade(number) for number in range(30)), fps=50.0)


def test_frames_come_in_order_and_by_range(film: Path) -> None:
    assert video_info(film) == video_info(film)
    info = video_info(film)
    assert (info.n_frames, info.fps, info.size_px) == (30, 50.0, (64, 48))
    assert info.time_s(5) == pytest.approx(0.1)
    assert numbers(film, FrameRange()) == [(n, n) for n in range(30)]
    assert numbers(film, FrameRange(3, 20, 5)) == [(n, n) for n in (3, 8, 13, 18)]
    skipped = [number for number, _ in read_frames(film, FrameRange(0, 6), skipped={1, 4})]
    assert skipped == [0, 2, 3, 5]


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov"])
def test_other_containers_are_read(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"film{suffix}", map(shade, range(12)))
    assert numbers(path, FrameRange()) == [(n, n) for n in range(12)]


def test_colours_are_kept(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    path = write_video(tmp_path / "red.mp4", [red] * 3)
    _, found = next(read_frames(path, FrameRange()))
    assert np.abs(found.reshape(-1, 3).mean(axis=0) - [200, 0, 0]).max() < 12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":", FrameRange()),
        ("5:", FrameRange(5)),
        (":9", FrameRange(0, 9)),
        ("2:30:4", FrameRange(2, 30, 4)),
    ],
)
def test_ranges_are_those_of_slices(text: str, expected: FrameRange) -> None:
    found = FrameRange.parse(text)
    assert found == expected
    whole = range(100)
    kept = [n for n in whole if n in found]
    assert kept == list(whole)[found.start : found.stop : found.step]
    assert found.count(100) == len(kept)


@pytest.mark.parametrize("text", ["", "7", "a:b", "5:5", "9:3", "1:2:0", "-3:5", "1:2:3:4"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--frames; expected START:STOP:STEP"):
        FrameRange.parse(text)


def test_file_that_is_no_video_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_text("not a video")
    with pytest.raises(DataError, match=r"no\.mp4: cannot be opened as a video"):
        video_info(tmp_path / "no.mp4")


def test_video_without_its_end_says_where_it_breaks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = (rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(40))
    path = write_video(tmp_path / "cut.avi", noisy)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(DataError, match=r"cut\.avi: (damaged|cannot be opened)"):
        list(read_frames(path, FrameRange()))


def test_writer_leaves_no_half_video(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", 25.0, (64, 48))
    writer.add(shade(3))
    assert not (tmp_path / "a.mp4").exists()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.fixture
def clip(photo: np.ndarray, tmp_path: Path) -> Path:
    """The photograph, a pixel further to the right with each of 12 frames."""
    wide = cv2.copyMakeBorder(photo, 0, 0, 0, 16, cv2.BORDER_REPLICATE)
    moved = (np.roll(wide, number, axis=1) for number in range(12))
    return write_video(tmp_path / "clip.mp4", moved, fps=10.0)


def test_every_frame_has_its_row_its_time_and_its_overlay(
    loaded: LoadedRegressor, clip: Path, photo: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    picture = write(tmp_path / "still.png", photo)
    options = PredictOptions(batch_size=5)
    report = predict_images(loaded, [clip, picture], out, options=options)
    assert report.done == (*(f"clip_{n:06d}" for n in range(12)), "still")
    animals = table(out, "animals.csv")
    assert [int(row["frame"]) for row in animals] == [*range(12), 0]
    times = [float(row["time_s"]) for row in animals[:12]]
    np.testing.assert_allclose(times, np.arange(12) / 10.0)
    assert len(table(out)) == 13 * 55
    shown = video_info(out / "overlays" / "clip.mp4")
    assert (shown.n_frames, shown.fps, shown.size_px) == (12, 10.0, (80, 64))
    assert (out / "overlays" / "still.png").is_file()


def test_frames_of_a_range_are_those_of_the_whole_video(
    loaded: LoadedRegressor, clip: Path, tmp_path: Path
) -> None:
    frames = FrameRange(2, 11, 4)
    options = PredictOptions(frames=frames)
    report = predict_images(loaded, [clip], tmp_path / "some", options=options)
    assert report.done == ("clip_000002", "clip_000006", "clip_000010")
    predict_images(loaded, [clip], tmp_path / "all", options=PredictOptions(overlays=False))
    for name in report.done:
        found, expected = record(tmp_path / "some", name), record(tmp_path / "all", name)
        np.testing.assert_allclose(found["joints_3d"], expected["joints_3d"], atol=1e-5)
    shown = video_info(tmp_path / "some" / "overlays" / "clip.mp4")
    assert (shown.n_frames, shown.fps) == (3, 2.5)
    assert not (tmp_path / "all" / "overlays").exists()


def test_boxes_of_frames_give_several_animals_that_keep_their_numbers(
    loaded: LoadedRegressor, clip: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "file,frame,animal,x,y,w,h\nclip.mp4,0,3,1,1,40,40\nclip.mp4,0,7,20,5,40,40\n"
        "clip.mp4,4,7,22,5,40,40\nclip.mp4,5,3,900,5,40,40\n"
    )
    out = tmp_path / "out"
    report = predict_images(loaded, [clip], out, boxes=read_boxes(boxes))
    animals = [(row["frame"], row["animal"]) for row in table(out, "animals.csv")]
    assert animals == [("0", "3"), ("0", "7"), ("4", "7")]
    ((label, reason),) = report.failed.items()
    assert label == f"{clip} frame 5 (4)"
    assert "box outside the picture" in reason
    assert f"{clip}: 9 frames without a box" in report.notes
    assert video_info(out / "overlays" / "clip.mp4").n_frames == 12


def test_box_without_a_frame_holds_for_all_of_them(
    loaded: LoadedRegressor, clip: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,x,y,w,h\nclip.mp4,1,1,40,40\n")
    out = tmp_path / "out"
    options = PredictOptions(overlays=False)
    report = predict_images(loaded, [clip], out, boxes=read_boxes(boxes), options=options)
    assert len(report.done) == 12


def test_boxes_that_contradict_themselves_are_named(
    loaded: LoadedRegressor, clip: Path, photo: np.ndarray, tmp_path: Path
) -> None:
    still = write(tmp_path / "still.png", photo)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "file,frame,animal,x,y,w,h\nclip.mp4,0,3,1,1,40,40\nclip.mp4,0,3,20,5,40,40\n"
        "still.png,4,,1,1,40,40\n"
    )
    report = predict_images(loaded, [clip, still], tmp_path / "out", boxes=read_boxes(boxes))
    assert "a number of its own for each animal" in report.failed[str(clip)]
    assert "leave the column `frame` empty for pictures" in report.failed[str(still)]
    boxes.write_text("file,frame,x,y,w,h\nclip.mp4,0.5,1,1,40,40\n")
    with pytest.raises(DataError, match=r"boxes\.csv:2: frame; expected a whole number"):
        read_boxes(boxes)


def test_damaged_video_is_named_and_the_rest_is_done(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all")
    good = write(tmp_path / "good.png", photo)
    report = predict_images(loaded, [bad, good], tmp_path / "out")
    assert report.done == ("good",)
    assert list(report.failed) == [str(bad)]
