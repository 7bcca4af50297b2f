"""Labelled photographs through the same doors as other data: data set, doctor, job, splits."""

import json
from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig, LabelConfig
from smil_ray.core.batch import collate
from smil_ray.data.augment import SimilarityTransform, mirrored, transformed
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.doctor.examination import examine
from smil_ray.data.entries import entry_from_record, entry_record
from smil_ray.data.labels.source import LabelSource
from smil_ray.data.sample_source import SampleSource
from smil_ray.data.splits import split_indices
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess.plan import PreprocessOptions, make_plan
from smil_ray.orchestration.preprocess.shard import read_entries
from tests.data.labels.label_files import (
    coco_document,
    dots,
    flat,
    moved,
    write_json,
    write_picture,
)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two videos of three pictures; one picture is missing, one has two animals."""
    images, animals = [], []
    for number in range(6):
        name = f"pictures/walk{number % 2}_{number:03d}.png"
        write_picture(tmp_path / name, dots(moved(float(number))))
        images.append({"id": number, "file_name": name, "width": 96, "height": 64})
        animals.append({"image_id": number, "keypoints": flat(moved(float(number)), (2, 1, 2, 0))})
    animals.append({"image_id": 0, "keypoints": flat(moved(12.0), (2, 2, 2, 0))})
    (tmp_path / "pictures" / "walk1_003.png").unlink()
    return write_json(tmp_path / "labels.json", coco_document(images, animals))


def test_data_set_of_a_label_file(labels: Path, insect: SmilModel) -> None:
    data = SmilDataset.from_path(labels, model=insect, input_size=48)
    assert len(data) == 6
    assert data.presence_counts()["keypoints_2d"] == 6
    assert data.presence_counts()["global_rot"] == 0
    assert set(data.groups) == {"pictures/walk0", "pictures/walk1"}
    assert data.metadata["drop_counts"] == {"image_missing": 1}
    x, y = data[0]
    assert x["input_image_data"].shape == (48, 48, 3)
    assert set(y) == {"keypoints_2d", "keypoint_visibility"}
    splits = split_indices(data.names, data.groups, 0.4, 0.0, seed=1)
    groups = [{data.groups[i] for i in part} for part in (splits.train, splits.val)]
    assert not groups[0] & groups[1]


def test_source_is_one_and_its_hash_follows_labels(labels: Path, insect: SmilModel) -> None:
    first = LabelSource(labels, insect, 48)
    assert isinstance(first, SampleSource)
    again = LabelSource(labels, insect, 48, config=LabelConfig())
    corner = LabelSource(labels, insect, 48, config=LabelConfig(pixel_origin="corner"))
    assert first.info.content_hash == again.info.content_hash != corner.info.content_hash
    crops = LabelSource(labels, insect, 48, CropConfig(mode="bbox", per_sample=2))
    assert len(crops.names) == 12
    assert crops.read([1])[0].name == crops.names[1]
    assert first.labels([0, 2])["keypoints_2d"].shape == (2, insect.n_joints, 2)


def test_group_by_picture_gives_each_picture_its_own(labels: Path, insect: SmilModel) -> None:
    source = LabelSource(labels, insect, 48, config=LabelConfig(group_by="picture"))
    assert len(set(source.groups)) == 5


def test_entries_travel_as_json_and_shards_follow_their_labels(labels: Path) -> None:
    options = PreprocessOptions(size=48, min_visible_keypoints=1)
    plan = make_plan([labels], options)
    (shard,) = plan.shards
    assert len(shard.entries) == 6
    for entry in shard.entries:
        assert entry_from_record(json.loads(json.dumps(entry_record(entry)))) == entry
    document = json.loads(labels.read_text())
    document["annotations"][0]["keypoints"][0] += 1.0
    write_json(labels, document)
    assert make_plan([labels], options).shards[0].key != shard.key


def test_a_shard_keeps_what_can_be_read_and_names_the_rest(
    labels: Path, insect: SmilModel
) -> None:
    options = PreprocessOptions(size=48, min_visible_keypoints=3)
    (shard,) = make_plan([labels], options).shards
    samples, drops, notes = read_entries(shard.entries, insect, options)
    assert [sample.name for sample in samples] == ["pictures/walk0_000#001"]
    assert sorted({drop.reason for drop in drops}) == ["few_keypoints", "image_missing"]
    assert notes["missing joints: 51 of the body model have no point"] == 5


def test_two_inputs_keep_their_names_apart(labels: Path, tmp_path: Path) -> None:
    other = tmp_path / "more.json"
    other.write_bytes(labels.read_bytes())
    (shard,) = make_plan([labels, other], PreprocessOptions()).shards
    assert {entry.name.split("/")[0] for entry in shard.entries} == {"labels.json", "more.json"}


def test_doctor_names_what_is_wrong(labels: Path, insect: SmilModel) -> None:
    document = json.loads(labels.read_text())
    document["images"][2]["width"] = 48
    document["annotations"][4]["keypoints"][0] = 500.0
    write_json(labels, document)
    report = examine(labels, insect)
    assert (report.n_entries, report.n_samples, report.exit_code) == (6, 6, 1)
    assert report.names("image_missing") == ("pictures/walk1_003",)
    assert report.names("picture size") == ("pictures/walk0_002",)
    assert report.names("points outside") == ("pictures/walk0_004",)
    assert report.fov_range is None
    assert "labels      keypoints_2d all" in report.table()


def test_doctor_refuses_names_that_are_no_joints(labels: Path, insect: SmilModel) -> None:
    document = json.loads(labels.read_text())
    document["categories"][0]["keypoints"] = ["a", "b", "c", "d"]
    with pytest.raises(DataError, match="no labelled point is a joint"):
        examine(write_json(labels, document), insect)


def test_samples_survive_augmentation_and_both_frames(labels: Path, insect: SmilModel) -> None:
    (sample, *_) = LabelSource(labels, insect, 48).read([0])
    turned = transformed(sample, SimilarityTransform(0.3, 1.2, (0.05, 0.0)))
    # The principal point turns with the picture, so that a crop's labels stay a camera's.
    points = sample.keypoints_2d[sample.keypoint_presence]
    before = np.linalg.norm(points - sample.intrinsics[2:], axis=1)
    after = np.linalg.norm(
        turned.keypoints_2d[sample.keypoint_presence] - turned.intrinsics[2:], axis=1
    )
    assert after == pytest.approx(1.2 * before, rel=1e-4)
    assert np.isnan(turned.fov)
    flipped = mirrored(sample, insect.skeleton)
    joint = insect.skeleton.index
    assert flipped.keypoints_2d[joint["l_1_co_l"], 0] == pytest.approx(
        1.0 - sample.keypoints_2d[joint["l_1_co_r"], 0]
    )
    for frame in ("camera", "root"):
        batch = collate([sample, turned, flipped], frame)
        assert [name for name, has in batch.presence.items() if bool(has.any())] == [
            "keypoints_2d"
        ]
