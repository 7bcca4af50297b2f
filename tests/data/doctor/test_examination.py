"""The doctor names every seeded corruption; reading refuses the same with the same reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest
from PIL import Image

from smil_ray.data.doctor.examination import examine
from smil_ray.data.doctor.report import DoctorReport
from smil_ray.data.filters import REASONS, SampleError
from smil_ray.data.image_io import read_id_mask
from smil_ray.data.replicant import reading as replicant
from smil_ray.data.replicant.reading import find_entries, read_samples
from tests.data.replicant import tiny_replicant as tiny

BODY = tiny.TinyBody()
BAD = "d_01"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(4):
        tiny.write(tmp_path, f"d_{index:02d}", tiny.frame(seed=index))
    return tmp_path


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Return a corruption that changes the parsed JSON of the bad entry."""

    def corrupt(folder: Path) -> None:
        path = folder / f"{BAD}.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return corrupt


def cut(name: str, share: float) -> Callable[[Path], None]:
    def corrupt(folder: Path) -> None:
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return corrupt


def zero_middle(folder: Path) -> None:
    path = folder / f"{BAD}.JPG"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)


def image_is_a_folder(folder: Path) -> None:
    (folder / f"{BAD}.JPG").unlink()
    (folder / f"{BAD}.JPG").mkdir()


def small_mask(folder: Path) -> None:
    cv2.imwrite(str(folder / f"{BAD}_ID.png"), np.zeros((48, 48, 4), dtype=np.uint8))


def foreign_mask(folder: Path) -> None:
    ids = np.zeros((96, 96, 4), dtype=np.uint8)
    ids[:20, :20, 2] = 1
    cv2.imwrite(str(folder / f"{BAD}_ID.png"), ids)


def camera(document: dict) -> dict:
    return document["iterationData"]["camera"]


def joint(document: dict) -> dict:
    return tiny.first(document)["keypoints"]["b_h"]


CORRUPTIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated JPEG": (cut(f"{BAD}.JPG", 0.6), "image_damaged"),
    "JPEG with a hole": (zero_middle, "image_damaged"),
    "empty JPEG": (cut(f"{BAD}.JPG", 0.0), "image_unreadable"),
    "no picture": (lambda folder: (folder / f"{BAD}.JPG").unlink(), "image_missing"),
    "directory named like a picture": (image_is_a_folder, "image_unreadable"),
    "JSON cut in half": (cut(f"{BAD}.json", 0.5), "json_unreadable"),
    "zero-byte JSON": (cut(f"{BAD}.json", 0.0), "json_unreadable"),
    "NaN": (edit(lambda d: joint(d)["3DPos"].update(x=float("nan"))), "non_finite"),
    "null": (edit(lambda d: camera(d).update(FOV=None) or joint(d)["2DPos"].update(x=None)),
             "non_finite"),
    "absurd number": (edit(lambda d: joint(d)["3DPos"].update(z=1e30)), "non_finite"),
    "camera missing": (edit(lambda d: d["iterationData"].pop("camera")), "camera_missing"),
    "camera empty": (edit(lambda d: d["iterationData"].update(camera={"FOV": 30.0})),
                     "camera_missing"),
    "camera skewed": (edit(lambda d: camera(d)["View Matrix"]["xPlane"].update(x=3.0)),
                      "camera_invalid"),
    "subject data empty": (edit(lambda d: d["iterationData"].update({"subject Data": []})),
                           "subject_missing"),
    "no keypoints": (edit(lambda d: tiny.first(d).update(keypoints={})), "subject_missing"),
    "2D against 3D": (edit(lambda d: joint(d)["2DPos"].update(x=joint(d)["2DPos"]["x"] + 3)),
                      "reprojection"),
    "quaternion not of unit length": (edit(lambda d: joint(d)["quaternion"].update(x=3.0)),
                                      "bad_rotation"),
    "foreign joints": (edit(lambda d: tiny.first(d).update(
        keypoints={"nose": {"2DPos": {"x": 1, "y": 1}}})), "no_known_joint"),
    "keypoints of another form": (edit(lambda d: tiny.first(d).update(keypoints=[1, 2])),
                                  "json_structure"),
    "axis missing": (edit(lambda d: joint(d)["3DPos"].pop("y")), "json_structure"),
    "text for a number": (edit(lambda d: joint(d)["3DPos"].update(y="left")), "json_structure"),
    "mask of another size": (small_mask, "mask_size"),
    "mask cut": (cut(f"{BAD}_ID.png", 0.5), "mask_unreadable"),
    "mask of another animal": (foreign_mask, "mask_disagrees"),
}  # fmt: skip


@pytest.mark.parametrize("case", CORRUPTIONS)
def test_corruption_is_named_by_doctor_and_reason_and_touches_nothing_else(folder, case):
    corrupt, reason = CORRUPTIONS[case]
    corrupt(folder)
    report = examine(folder, BODY)
    assert report.names(reason) == (BAD,)
    assert report.good_names == ("d_00", "d_02", "d_03")
    assert report.exit_code == 1
    assert reason in report.table()
    entry = find_entries(folder)[1]
    with pytest.raises(SampleError) as error:
        read_samples(entry, BODY)
    assert error.value.reason == reason
    assert reason in REASONS
    assert BAD in str(error.value)


def test_healthy_data_set_has_no_finding(folder):
    report = examine(folder, BODY)
    assert (report.exit_code, report.n_entries, report.n_samples) == (0, 4, 4)
    assert not any(kind.severity == "error" for kind in report.kinds.values())
    assert report.keypoints["present"] == 4 * len(tiny.JOINTS)
    assert report.picture_sides == {96: 4}
    assert sum(report.coverage_histogram) == 4


@pytest.mark.parametrize(
    ("kind", "corrupt"),
    [
        ("missing joints", edit(lambda d: tiny.first(d)["keypoints"].pop("b_h"))),
        ("unknown joints", edit(lambda d: tiny.first(d)["keypoints"].update(tail={}))),
        ("shape betas", edit(lambda d: tiny.first(d).update({"shape betas": [0.0] * 13}))),
        ("no_mask", lambda folder: (folder / f"{BAD}_ID.png").unlink()),
        ("faint_picture", lambda f: cv2.imwrite(str(f / f"{BAD}.JPG"), np.full((96, 96, 3), 9))),
        (
            "empty_mask",
            lambda f: cv2.imwrite(str(f / f"{BAD}_ID.png"), np.zeros((96, 96, 4), np.uint8)),
        ),
    ],
)
def test_misfit_is_a_warning_and_the_entry_stays_good(folder, kind, corrupt):
    corrupt(folder)
    report = examine(folder, BODY)
    assert report.names(kind) == (BAD,)
    assert report.kinds[kind].severity == "warning"
    assert report.exit_code == 0


def test_several_things_wrong_with_one_entry_are_all_named(folder):
    CORRUPTIONS["truncated JPEG"][0](folder)
    CORRUPTIONS["NaN"][0](folder)
    CORRUPTIONS["mask cut"][0](folder)
    report = examine(folder, BODY)
    for kind in ("image_damaged", "non_finite", "mask_unreadable"):
        assert report.names(kind) == (BAD,)


def test_same_picture_with_other_labels_is_an_error_of_both(folder):
    shutil.copy(folder / "d_00.JPG", folder / f"{BAD}.JPG")
    report = examine(folder, BODY)
    assert report.names("identical_images") == ("d_00", BAD)
    assert report.good_names == ("d_02", "d_03")


def test_copied_entry_is_an_error_of_the_copy(folder):
    (folder / "copy").mkdir()
    for path in folder.glob("d_00*"):
        shutil.copy(path, folder / "copy" / path.name)
    assert examine(folder, BODY).names("duplicate_sample") == ("d_00",)
    assert "copy/d_00" in examine(folder, BODY).good_names


def test_swapped_pictures_are_found_by_their_masks(folder):
    for index in range(4):  # Bright animals, exactly where the masks are.
        name = f"d_{index:02d}"
        ids = read_id_mask(folder / f"{name}_ID.png")
        animal = cv2.GaussianBlur(ids * np.uint8(200), (0, 0), 0.8)
        cv2.imwrite(str(folder / f"{name}.JPG"), animal)
    assert examine(folder, BODY).exit_code == 0
    other = folder / "other.JPG"
    (folder / f"{BAD}.JPG").rename(other)
    (folder / "d_03.JPG").rename(folder / f"{BAD}.JPG")
    other.rename(folder / "d_03.JPG")
    assert examine(folder, BODY).names("swapped_images") == (BAD, "d_03")


def test_report_is_json_with_everything_and_progress_is_told(folder):
    CORRUPTIONS["NaN"][0](folder)
    steps: list[tuple[int, int]] = []
    report = examine(folder, BODY, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    content = orjson.loads(report.to_json())
    assert content["exit_code"] == 1
    assert content["good_names"] == ["d_00", "d_02", "d_03"]
    assert content["findings"][0]["kind"] == "non_finite"
    assert content["kinds"]["non_finite"]["severity"] == "error"


def test_another_map_and_a_limit_are_used(folder):
    def reverse_work(function, entries) -> list:
        return [function(entry) for entry in reversed(entries)][::-1]

    report = examine(folder, BODY, map_function=reverse_work, limit=2)
    assert isinstance(report, DoctorReport)
    assert report.good_names == ("d_00", "d_01")


def test_what_nobody_foresaw_is_named_and_the_rest_is_examined(folder, monkeypatch):
    real = replicant.read_frame

    def read(path: Path) -> object:
        if BAD in path.name:
            raise ZeroDivisionError("division by zero")
        return real(path)

    monkeypatch.setattr(replicant, "read_frame", read)
    report = examine(folder, BODY)
    assert report.names("unexpected") == (BAD,)
    assert "ZeroDivisionError" in report.table()
    assert len(report.good_names) == 3


def test_turned_and_deep_pictures_and_those_without_annotation_are_reported(folder: Path) -> None:
    turned = Image.open(folder / "d_00.JPG")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "d_00.JPG", exif=exif)
    grey = np.asarray(Image.open(folder / "d_01.JPG").convert("L"))
    (folder / "d_01.JPG").unlink()
    cv2.imwrite(str(folder / "d_01.tif"), grey.astype(np.uint16) * 12 + 300)
    (folder / "more").mkdir()
    cv2.imwrite(str(folder / "more" / "lonely.webp"), grey)
    report = examine(folder, BODY)
    assert report.names("exif_orientation") == ("d_00",)
    assert report.names("deep_pixels") == ("d_01",)
    assert report.names("not_annotated") == ("more/lonely.webp",)
    assert report.good_names == ("d_00", "d_01", "d_02", "d_03")
    stored = read_samples(find_entries(folder)[0], BODY).samples[0].image
    assert np.abs(stored.astype(int) - np.asarray(turned)).mean() < 25


def test_git_lfs_pointer_in_place_of_a_picture_is_named(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    (folder / f"{BAD}.JPG").write_text(pointer)
    report = examine(folder, BODY)
    assert report.names("image_unreadable") == (BAD,)
    assert "Git LFS pointer" in report.table()
