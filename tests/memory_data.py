"""For tests of training: a tiny data set in memory, joints drawn as dots on the picture."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config, CropConfig
from smil_ray.config.reading import config_from_dict, merge
from smil_ray.core.batch import LABELS, Sample, stack_labels
from smil_ray.core.params import SmilParams
from smil_ray.render.camera import Camera

SIZE = 32


class MemoryView(Dataset):
    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        return [self._samples[index] for index in indices]


class MemoryData:
    """Samples in a list with the interface of `SmilDataset` that training uses."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples
        self.names = [sample.name for sample in samples]
        self.groups = [sample.group for sample in samples]
        self.input_size = samples[0].image.shape[0]
        self.content_hash = f"memory-{len(samples)}"
        self.crop = CropConfig()

    def presence_counts(self) -> dict[str, int]:
        return {name: sum(name in s.present for s in self._samples) for name in LABELS}

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        return [self._samples[index] for index in indices]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        return stack_labels(self.samples(indices))

    def view(self, indices: Sequence[int]) -> MemoryView:
        return MemoryView(self.samples(indices))


class NoPictures(MemoryData):
    """Data whose pictures must not be read."""

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        raise AssertionError("a picture was read")

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        return stack_labels([self._samples[index] for index in indices])


class DeadlyView(MemoryView):
    """Kills the process when its `fatal`th batch is read, unless `mark` says it did already.

    With `raises` it raises an error instead.
    """

    def __init__(
        self, samples: list[Sample], mark: Path, fatal: int, *, raises: bool = False
    ) -> None:
        super().__init__(samples)
        self._mark, self._left, self._raises = mark, fatal, raises

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        self._left -= 1
        if self._left == 0 and not self._mark.exists():
            self._mark.touch()
            if self._raises:
                raise RuntimeError("the disk burns")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitems__(indices)


class DeadlyData(MemoryData):
    """Data that kill the process that reads them, once; or let it raise an error."""

    def __init__(self, data: MemoryData, mark: Path, fatal: int, *, raises: bool = False) -> None:
        super().__init__(data.samples(range(len(data.names))))
        self._mark, self._fatal, self._raises = mark, fatal, raises

    def view(self, indices: Sequence[int]) -> MemoryView:
        samples = self.samples(indices)
        return DeadlyView(samples, self._mark, self._fatal, raises=self._raises)


def make_samples(model: SmilModel, count: int, seed: int = 0, size: int = SIZE) -> list[Sample]:
    """Return random insects in front of a camera at the origin (world = camera frame)."""
    rng = np.random.default_rng(seed)
    n_joints, k = model.n_joints, model.n_scale_weights
    global_rot = rng.normal(0, 1.0, (count, 3)).astype(np.float32)
    joint_rot = rng.normal(0, 0.1, (count, n_joints - 1, 3)).astype(np.float32)
    betas = rng.normal(0, 0.5, (count, model.n_betas)).astype(np.float32)
    distance = 6.0 * model.body_length
    trans = rng.normal(0, 0.1 * model.body_length, (count, 3)).astype(np.float32)
    trans[:, 2] += distance
    fov = np.full((count, 1), 25.0, dtype=np.float32)
    params = SmilParams(
        global_rot=torch.from_numpy(global_rot),
        joint_rot=torch.from_numpy(joint_rot),
        betas=torch.from_numpy(betas),
        trans=torch.from_numpy(trans),
        fov=torch.from_numpy(fov),
        cam_rot=torch.eye(3).expand(count, 3, 3),
        cam_trans=torch.zeros(count, 3),
    )
    joints = model.pose(params).joints
    focal = 0.5 / np.tan(np.deg2rad(25.0) / 2)
    intrinsics = np.array([focal, focal, 0.5, 0.5], dtype=np.float32)
    camera = Camera.from_params(params, torch.from_numpy(intrinsics).expand(count, 4))
    xy, _ = camera.project(joints)
    points, pixels = joints.numpy(), xy.numpy()
    return [
        Sample(
            name=f"fake_{i:04d}",
            group=f"fake_{i:04d}",
            image=_picture(pixels[i], size),
            mask=None,
            global_rot=global_rot[i],
            joint_rot=joint_rot[i],
            betas=betas[i],
            trans=trans[i],
            fov=25.0,
            cam_rot=np.eye(3, dtype=np.float32),
            cam_trans=np.zeros(3, dtype=np.float32),
            intrinsics=intrinsics,
            scale_weights=np.full(k, np.nan, dtype=np.float32),
            trans_weights=np.full(k, np.nan, dtype=np.float32),
            keypoints_2d=pixels[i],
            keypoints_3d=points[i],
            keypoint_visibility=((pixels[i] >= 0) & (pixels[i] < 1)).all(axis=1),
            keypoint_presence=np.ones(n_joints, dtype=bool),
            body_length=model.body_length,
            present=frozenset(LABELS) - {"mask", "scale_weights", "trans_weights"},
        )
        for i in range(count)
    ]


def _picture(xy: np.ndarray, size: int) -> np.ndarray:
    image = np.zeros((size, size, 3), dtype=np.uint8)
    inside = xy[((xy >= 0) & (xy < 1)).all(axis=1)]
    columns, rows = (inside * size).astype(int).T
    image[rows, columns] = 255
    return image


TINY = {
    "data": {"batch_size": 4, "limit": 8, "val_fraction": 0.25, "test_fraction": 0.0},
    "model": {
        "backbone": {"name": "test_vit", "input_size": SIZE},
        "head": {"type": "mlp", "hidden_dim": 16},
    },
    "train": {"epochs": 2, "overlay_every_epochs": 100, "plots": False},
    "optim": {"warmup_epochs": 0.0},
}


def tiny_config(**sections: dict) -> Config:
    """Return a configuration that trains in a fraction of a second."""
    return config_from_dict(merge(TINY, sections))


def open_memory_data(config: Config, model: SmilModel) -> MemoryData:
    """Open the same data set in every process."""
    return MemoryData(make_samples(model, 24))
