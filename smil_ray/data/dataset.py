"""Samples for people and for training: `SmilDataset.from_path` opens whatever is there.

HDF5 files of this package or the predecessor, replicAnt folders and labels look the same:
`dataset[i]` gives the seed's `(x, y)` dictionaries, `view(indices)` feeds a DataLoader.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.core.batch import LABELS, Sample
from smil_ray.core.skeleton import Skeleton
from smil_ray.core.xy import to_xy
from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.data.labels.formats import is_label_path
from smil_ray.data.sample_source import SampleSource
from smil_ray.errors import ConfigError, DataError
from smil_ray.storage.node_cache import local_place

_REPRESENTATIONS = ("6d", "axis_angle")
_FRAMES = ("camera", "root")
_DEFAULT_SIZE, _RESNET_SIZE = 224, 512


class SmilDataset:
    """Samples by index, with what is common to all of them.

    Attributes:
        names: Sample names, in order.
        groups: Near-duplicates share a group (`splits`).
        input_size: Height and width of the images that come out, pixels.
        rotation_representation: `6d` or `axis_angle`, for whoever builds a network for this
            data; `y["joint_angles"]` and samples are always axis-angle.
        reference_frame: `camera` or `root`, the frame of `y`.
    """

    def __init__(
        self,
        source: SampleSource,
        *,
        rotation_representation: str = "6d",
        reference_frame: str = "camera",
        input_size: int | None = None,
    ) -> None:
        if rotation_representation not in _REPRESENTATIONS:
            raise ConfigError(
                "rotation_representation", expected=_REPRESENTATIONS, found=rotation_representation
            )
        if reference_frame not in _FRAMES:
            raise ConfigError("reference_frame", expected=_FRAMES, found=reference_frame)
        self._source = source
        self.rotation_representation = rotation_representation
        self.reference_frame = reference_frame
        self.input_size = input_size or source.info.input_size
        self.names, self.groups = source.names, source.groups

    @classmethod
    def from_path(
        cls,
        path: str | Path,
        *,
        model: SmilModel | str | Path | None = None,
        rotation_representation: str = "6d",
        backbone_name: str | None = None,
        input_size: int | None = None,
        reference_frame: str = "camera",
        crop: CropConfig | None = None,
    ) -> "SmilDataset":
        """Open an HDF5 file, a predecessor's, a replicAnt folder or a file of labels.

        Args:
            path: File or folder; which of the four it is, is found out. A file in an object store
                is copied to the node's cache.
            model: Body model, or its file, whose joints the labels must have. Without it a data
                file is taken as it is; a folder, which needs one, is read as built-in insects.
            rotation_representation: See the class.
            backbone_name: Gives a folder its image size where `input_size` does not.
            input_size: Size of the images that come out; a file's images are resized to it.
            reference_frame: See the class.
            crop: Squares to cut out of a folder's pictures; files hold what was cut for them.

        Raises:
            DataError: Nothing readable is there, or its joints are not the model's.
            StorageError: An object store does not answer, or has no such file.
        """
        size = input_size or default_input_size(backbone_name)
        model = None if model is None else SmilModel.open(model)
        place = local_place(path)
        source = _open_source(place, model, size, crop)
        if model is not None:
            _check_model(place, source, model)
        return cls(
            source,
            rotation_representation=rotation_representation,
            reference_frame=reference_frame,
            input_size=input_size,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[dict, dict]:
        """Return the seed's `(x, y)` dictionaries, see `core.xy.to_xy`."""
        return to_xy(self.sample(index), self.reference_frame)

    def sample(self, index: int) -> Sample:
        """Return one sample, labels in the world frame."""
        return self.samples([index])[0]

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples in the order of `indices`, with as few reads as possible.

        Raises:
            IndexError: An index is not in [-n, n).
            DataError: A sample cannot be read.
        """
        n = len(self)
        wanted = [int(i) for i in indices]
        for i in wanted:
            if not -n <= i < n:
                raise IndexError(f"sample {i} of {n}")
        samples = self._source.read([i % n for i in wanted])
        if self.input_size == self._source.info.input_size:
            return samples
        return [resized(sample, self.input_size) for sample in samples]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return everything of samples but names and pixels, as `core.batch.stack_labels` does.

        Of an HDF5 file no image is read.
        """
        n = len(self)
        return self._source.labels([int(i) % n for i in indices])

    def view(self, indices: Sequence[int] | np.ndarray) -> "SampleView":
        """Return the samples at `indices` for a DataLoader."""
        return SampleView(self, indices)

    def presence_counts(self) -> dict[str, int]:
        """Return how many samples have each label of `core.batch.LABELS`."""
        counts = self._source.presence.sum(axis=0)
        return {label: int(number) for label, number in zip(LABELS, counts, strict=True)}

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints in the order of all labels."""
        return self._source.info.joint_names

    @property
    def skeleton(self) -> Skeleton:
        """Joint names and their tree."""
        return Skeleton(self._source.info.joint_names, self._source.info.parents)

    @property
    def n_betas(self) -> int:
        """Number of shape coefficients of the labels."""
        return self._source.info.n_betas

    @property
    def content_hash(self) -> str:
        """Hash of the content: equal for equal samples, however they were made."""
        return self._source.info.content_hash

    @property
    def crop(self) -> CropConfig:
        """How the pictures were cut; `mode: none` where the data set does not say."""
        return CropConfig.model_validate(self._source.info.settings.get("crop", "none"))

    @property
    def metadata(self) -> dict[str, Any]:
        """What the data set says about itself: settings, model, reasons of drops, notes."""
        return {**vars(self._source.info), "total_samples": len(self)}


UnifiedSMILDataset = SmilDataset


class SampleView(Dataset):
    """A torch data set of samples; a DataLoader's batch is read at once (`__getitems__`).

    Use with `DataLoader(view, collate_fn=partial(collate, reference_frame=...))`.
    """

    def __init__(self, dataset: SmilDataset, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset.sample(int(self.indices[index]))

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """Return a batch of samples, read together."""
        return self.dataset.samples(self.indices[indices].tolist())


def resized(sample: Sample, size: int) -> Sample:
    """Return a sample with image and mask of `size` px; labels are fractions and stay."""
    shrinks = size < sample.image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image = cv2.resize(sample.image, (size, size), interpolation=method)
    mask = sample.mask
    if mask is not None:
        mask = cv2.resize(mask, (size, size), interpolation=method)
    return replace(sample, image=image, mask=mask)


def names_its_body_model(path: Path | str) -> bool:
    """Return whether a data set was made with a body model: files of samples; not annotations."""
    path = local_place(path)
    return not (path.is_dir() or is_label_path(path))


def default_input_size(backbone_name: str | None) -> int:
    """Return the seed's image size for a backbone: after its patch size; ResNets 512, else 224.

    Commands ask timm instead (`models.backbones.backbone_spec`), which this layer cannot.
    """
    if backbone_name is None:
        return _DEFAULT_SIZE
    number = re.search(r"patch\d+_(\d{3})", backbone_name)
    if number:
        return int(number.group(1))
    return _RESNET_SIZE if backbone_name.startswith("resnet") else _DEFAULT_SIZE


def _open_source(
    path: Path, model: SmilModel | None, size: int, crop: CropConfig | None
) -> SampleSource:
    if is_label_path(path):
        from smil_ray.data.labels.source import LabelSource

        return LabelSource(path, model or SmilModel.builtin(), size, crop)
    if path.is_dir():
        from smil_ray.data.replicant.folder import FolderSource

        return FolderSource(path, model or SmilModel.builtin(), size, crop)
    from smil_ray.data.hdf5.predecessor import PredecessorSource, is_predecessor_file

    if is_predecessor_file(path):
        return PredecessorSource(path, model or SmilModel.builtin())
    return Hdf5Source(path)


def _check_model(path: Path, source: SampleSource, model: SmilModel) -> None:
    ours, theirs = tuple(model.skeleton.joint_names), source.info.joint_names
    if ours != theirs:
        unknown = sorted(set(theirs) - set(ours)) or sorted(set(ours) - set(theirs))
        raise DataError(
            f"{path}: the joints are not those of the model {model.name!r}",
            expected=f"{len(ours)} joints",
            found=f"{len(theirs)}, differing in {', '.join(unknown[:3]) or 'their order'}",
            remedy="open it with the model it was made with, or make it again",
        )
    if source.info.n_betas != model.n_betas:
        raise DataError(
            f"{path}: betas are not those of the model {model.name!r}",
            expected=f"{model.n_betas} coefficients",
            found=f"{source.info.n_betas} of {source.info.model_name!r}",
            remedy="open it with the model it was made with, or make it again",
        )
