"""The files of one replicAnt frame beside its subjects: camera, ID mask, and the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from smil_ray.data import image_io
from smil_ray.data.filters import SampleError
from smil_ray.data.replicant.annotations import RawCamera
from smil_ray.data.replicant.coordinates import Window
from smil_ray.data.replicant.files import Entry
from smil_ray.data.replicant.labels import CameraLabels, camera_labels


@dataclass(frozen=True)
class Scene:
    """ID mask and camera of a frame, and its picture, not yet decoded.

    Attributes:
        entry: Where the files are.
        camera: In the package's world.
        size_px: Width and height of the picture.
        data: The encoded picture.
        ids: Subject ids, 0 = background; None without an ID mask.
    """

    entry: Entry
    camera: CameraLabels
    size_px: tuple[int, int]
    data: bytes
    ids: UInt8[np.ndarray, "mask_h mask_w"] | None

    @classmethod
    def read(cls, entry: Entry, raw: RawCamera) -> "Scene":
        """Read the files of an entry.

        Raises:
            SampleError: A file is missing or damaged, or the camera cannot be rebuilt.
        """
        if entry.image_path is None:
            raise SampleError("image_missing", f"{entry.json_path}: no picture beside it")
        data = image_io.read_bytes(entry.image_path)
        width, height = image_io.picture_size(data, entry.image_path.name)
        camera = camera_labels(raw, width, height, entry.json_path.name)
        ids = None if entry.mask_path is None else image_io.read_id_mask(entry.mask_path)
        if ids is not None and ids.shape != (height, width):
            raise SampleError(
                "mask_size",
                f"{entry.json_path.name}: ID mask",
                expected=f"{width} x {height} like the picture",
                found=f"{ids.shape[1]} x {ids.shape[0]}",
            )
        return cls(entry, camera, (width, height), data, ids)

    def decode(
        self, windows: list[Window], size: int | None
    ) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
        """Return the picture, as small as windows of `size` px allow, and its decoded scale.

        Raises:
            SampleError: The picture is truncated or damaged.
        """
        smallest = min(windows, key=lambda window: window.side)
        reduction = image_io.reduction_for(smallest, size)
        name = self.entry.image_path.name if self.entry.image_path else ""
        picture = image_io.decode_rgb(self.data, name, reduction=reduction)
        return picture, image_io.picture_scale(picture, self.size_px[0])

    def mask(self, subject_id: str, dilation: int) -> UInt8[np.ndarray, "h w"] | None:
        """Return a subject's silhouette at native size, 0 or 255; None without an ID mask.

        Args:
            subject_id: As the annotation has it.
            dilation: Radius in native pixels by which the silhouette grows.
        """
        if self.ids is None:
            return None
        number = int(subject_id) if subject_id.isdecimal() else 1
        mask = (self.ids == number).view(np.uint8)
        np.negative(mask, out=mask)  # In 8 bits, -1 is 255.
        if dilation > 0:
            side = 2 * dilation + 1
            mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        return mask
