"""One shard, without Ray: samples, reasons, manifest; and the folder of parts."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.filters import REASONS
from smil_ray.data.hdf5.schema import StoreInfo
from smil_ray.data.hdf5.store import Hdf5Source, read_drops, verify
from smil_ray.data.replicant import reading as replicant
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess._parts import PartsFolder
from smil_ray.orchestration.preprocess.plan import PreprocessOptions, make_plan
from smil_ray.orchestration.preprocess.shard import ShardManifest, make_shard
from tests.orchestration.preprocess.preprocess_data import (
    SIZE,
    break_entries,
    options,
    write_folder,
)

N = 12


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("synth") / "set", N)


def run(
    folder: Path, output: Path, chosen: PreprocessOptions
) -> tuple[PartsFolder, Callable[[], str]]:
    """Make every shard that is missing; return the folder and the merge still to be done."""
    model = SmilModel.builtin()
    plan = make_plan([folder], chosen)
    shards = plan.shards
    parts = PartsFolder(output)
    parts.prepare(chosen.content_settings(model), resume=chosen.resume)
    manifests = parts.finished(shards)
    for shard in shards:
        if shard.index not in manifests:
            manifests[shard.index] = make_shard(shard, parts.path, chosen)
    info = StoreInfo.of(model, chosen.size)
    return parts, lambda: parts.merge(plan, manifests, info)


@pytest.mark.parametrize("chunk_size", [1, 5, 100])
def test_content_does_not_depend_on_the_size_of_shards(
    intact: Path, tmp_path: Path, chunk_size: int
) -> None:
    reference = run(intact, tmp_path / "a.h5", options())[1]()
    assert run(intact, tmp_path / "b.h5", options(chunk_size=chunk_size))[1]() == reference
    assert verify(tmp_path / "b.h5") == reference
    source = Hdf5Source(tmp_path / "b.h5")
    assert source.names == tuple(f"tiny_{i:02d}" for i in range(N))
    assert source.read([0])[0].image.shape == (SIZE, SIZE, 3)


def test_card_of_three_colours_keeps_them_from_folder_to_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 1)
    card = np.zeros((64, 64, 3), np.uint8)
    card[:, :21, 0] = card[:, 21:43, 1] = card[:, 43:, 2] = 255
    Image.fromarray(card).save(folder / "tiny_00.JPG", quality=95)
    run(folder, tmp_path / "a.h5", options())[1]()
    for path in (folder, tmp_path / "a.h5"):
        dataset = SmilDataset.from_path(path, input_size=SIZE)
        image = dataset[0][0]["input_image_data"]
        for column, channel in ((4, 0), (24, 1), (44, 2)):
            np.testing.assert_allclose(image[24, column], np.eye(3)[channel], atol=0.05)


def test_soft_edges_of_masks_survive(intact: Path, tmp_path: Path) -> None:
    run(intact, tmp_path / "a.h5", options())[1]()
    masks = [s.mask for s in Hdf5Source(tmp_path / "a.h5").read(range(N)) if s.mask is not None]
    assert len(masks) == N
    assert any(((mask > 0) & (mask < 255)).any() for mask in masks)


def test_broken_entries_are_dropped_with_their_reason_and_nothing_else_changes(
    intact: Path, tmp_path: Path
) -> None:
    run(intact, tmp_path / "whole.h5", options())[1]()
    folder = tmp_path / "set"
    shutil.copytree(intact, folder)
    expected = break_entries(folder)
    run(folder, tmp_path / "a.h5", options())[1]()
    drops = read_drops(tmp_path / "a.h5")
    assert {drop.name: drop.reason for drop in drops} == expected
    assert all(drop.name in drop.detail for drop in drops)
    source = Hdf5Source(tmp_path / "a.h5")
    assert sum(source.info.drop_counts.values()) == len(expected)
    whole = Hdf5Source(tmp_path / "whole.h5")
    digests = "auxiliary/sample_sha256"
    kept = [whole.names.index(name) for name in source.names]
    assert len(kept) == N - len(expected)
    np.testing.assert_array_equal(source.columns[digests], whole.columns[digests][kept])


def test_failure_that_nobody_foresaw_drops_the_sample_with_its_error(
    intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replicant.read_frame

    def read(path: Path) -> object:
        if "tiny_03" in path.name:
            raise ZeroDivisionError("division by zero")
        return real(path)

    monkeypatch.setattr(replicant, "read_frame", read)
    run(intact, tmp_path / "a.h5", options())[1]()
    (drop,) = read_drops(tmp_path / "a.h5")
    assert (drop.name, drop.reason) == ("tiny_03", "unexpected")
    assert "ZeroDivisionError" in drop.detail
    assert drop.reason in REASONS


def test_filters_drop_by_coverage_and_keypoints(intact: Path, tmp_path: Path) -> None:
    strict = options(silhouette_threshold=0.9)
    run(intact, tmp_path / "a.h5", strict)[1]()
    assert Hdf5Source(tmp_path / "a.h5").info.drop_counts == {"low_coverage": N}
    run(intact, tmp_path / "b.h5", options(min_visible_keypoints=56))[1]()
    assert Hdf5Source(tmp_path / "b.h5").info.drop_counts == {"few_keypoints": N}


def test_resume_makes_only_what_is_missing_or_damaged(intact: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.h5"
    parts, merge = run(intact, output, options())
    reference = merge()
    shards = sorted(parts.path.glob("*.h5"))
    assert len(shards) == 3
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-7])
    (parts.path / f"{shards[2].name}.writing-1-aa").write_bytes(b"left over")
    untouched = shards[2].stat().st_mtime_ns
    assert run(intact, output, options(resume=True))[1]() == reference
    assert shards[2].stat().st_mtime_ns == untouched
    assert not list(parts.path.glob("*.writing-*"))


def test_shard_that_is_not_what_its_manifest_says_is_refused_and_made_anew(
    intact: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.h5"
    parts, merge = run(intact, output, options())
    shards = sorted(parts.path.glob("*.h5"))
    shards[1].write_bytes(shards[0].read_bytes())
    with pytest.raises(DataError, match=r"not what its manifest says.*--resume"):
        merge()
    assert not output.exists()
    run(intact, output, options(resume=True))[1]()
    assert len(Hdf5Source(output)) == N


def test_resume_with_other_settings_is_refused_and_without_starts_anew(
    intact: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.h5"
    parts, _ = run(intact, output, options())
    other = options(resume=True, jpeg_quality=60)
    with pytest.raises(DataError, match=r"another jpeg_quality.*expected 60; found 95.*--resume"):
        run(intact, output, other)
    before = {path.name for path in parts.path.glob("*.h5")}
    run(intact, output, options(jpeg_quality=60, limit=2))
    assert before.isdisjoint(path.name for path in parts.path.glob("*.h5"))


def test_manifest_that_is_cut_or_foreign_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for content in (b"", b"{", b"[]", b'{"index": 1}'):
        path.write_bytes(content)
        assert ShardManifest.read(path) is None


def test_full_disk_is_a_clear_error_and_leaves_a_resumable_state(
    intact: Path, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(128)
    with pytest.raises(DataError, match=r"cannot be written.*No space left.*--resume"):
        run(intact, disk / "a.h5", options())[1]()
    assert not (disk / "a.h5").exists()
    finished = len(list((disk / "a.h5.parts").glob("*.json"))) - 1
    assert 0 < finished < 3
    subprocess.run(["mount", "-o", "remount,size=9000k", str(disk)], check=True)
    found = run(intact, disk / "a.h5", options(resume=True))[1]()
    assert found == run(intact, tmp_path / "b.h5", options())[1]()


def test_disk_too_full_for_the_merge_is_a_clear_error(
    intact: Path, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(240)
    _, merge = run(intact, disk / "a.h5", options())
    with pytest.raises(DataError, match=r"a\.h5.*(too full|No space left).*--resume"):
        merge()
    assert not (disk / "a.h5").exists()


def test_output_that_cannot_be_written_is_a_clear_error(tmp_path: Path, intact: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        run(intact, tmp_path / "file" / "a.h5", options())
