import math
from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import backbone_spec
from smil_ray.training.assemble import assemble, open_data, target_statistics
from tests.memory_data import MemoryData, NoPictures, tiny_config


def test_assemble_same_seed_gives_same_weights(insect: SmilModel, data: MemoryData) -> None:
    first = assemble(tiny_config(), data, insect).regressor.state_dict()
    torch.rand(7)
    second = assemble(tiny_config(), data, insect).regressor.state_dict()
    other = assemble(tiny_config(train={"seed": 14}), data, insect).regressor.state_dict()
    name = next(name for name in first if name.endswith("weight"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first[name], other[name])


def test_assemble_limit_shortens_training_only(insect: SmilModel, data: MemoryData) -> None:
    whole = assemble(tiny_config(data={"limit": None}), data, insect).splits
    short = assemble(tiny_config(data={"limit": 3}), data, insect).splits
    assert short.train.tolist() == whole.train[:3].tolist()
    assert short.val.tolist() == whole.val.tolist()


def test_assemble_train_fraction_thins_training_only(insect: SmilModel, data: MemoryData) -> None:
    whole = assemble(tiny_config(data={"limit": None}), data, insect).splits
    part = assemble(tiny_config(data={"limit": None, "train_fraction": 0.5}), data, insect).splits
    assert set(part.train.tolist()) < set(whole.train.tolist())
    assert len({data.groups[i] for i in part.train}) == math.ceil(
        len({data.groups[i] for i in whole.train}) / 2
    )
    assert part.val.tolist() == whole.val.tolist()
    assert part.test.tolist() == whole.test.tolist()


def test_assemble_weight_for_a_label_the_data_lacks_is_refused(
    insect: SmilModel, data: MemoryData
) -> None:
    config = tiny_config(loss={"base_weights": {"silhouette": 1.0}})
    with pytest.raises(ConfigError, match=r"silhouette.*mask"):
        assemble(config, data, insect)


def test_assemble_without_validation_is_refused(insect: SmilModel, data: MemoryData) -> None:
    with pytest.raises(ConfigError, match="val_fraction"):
        assemble(tiny_config(data={"val_fraction": 0.0}), data, insect)


def test_assemble_weights_do_not_depend_on_what_was_asked_before(
    insect: SmilModel, data: MemoryData
) -> None:
    backbone_spec.cache_clear()
    first = assemble(tiny_config(), data, insect).regressor.state_dict()
    second = assemble(tiny_config(), data, insect).regressor.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_target_statistics_equal_means_over_samples(insect: SmilModel, data: MemoryData) -> None:
    indices = torch.arange(24).numpy()
    found = target_statistics(NoPictures(data.samples(range(24))), indices, insect)
    tangent = math.tan(math.radians(25.0) / 2)
    depths = [float(sample.trans[2]) for sample in data.samples(range(24))]
    assert found.fov_deg == pytest.approx(25.0, rel=1e-5)
    expected = sum(math.log(depth * tangent) for depth in depths) / 24
    assert found.log_extent == pytest.approx(expected, rel=1e-5)


def test_open_data_without_a_path_says_what_to_do(insect: SmilModel) -> None:
    with pytest.raises(ConfigError, match=r"data\.path"):
        open_data(tiny_config(), insect)


def test_open_data_of_a_file_that_is_to_be_cut_is_refused(
    insect: SmilModel, tmp_path: Path
) -> None:
    (tmp_path / "a.h5").write_bytes(b"")
    config = tiny_config(data={"path": str(tmp_path / "a.h5"), "crop": "bbox"})
    with pytest.raises(ConfigError, match=r"data\.crop is for replicAnt folders.*--crop bbox"):
        open_data(config, insect)
