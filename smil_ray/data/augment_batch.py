"""Random changes of a batch's pictures on the device that trains.

`data.augment` does the same in numpy, picture by picture, and is the readable reference. Except
for noise, which comes from the device's generator, pixels differ by the rounding of interpolation.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from smil_ray.core.batch import Batch
from smil_ray.data.augment import LUMA


@torch.no_grad()
def with_changed_pictures(batch: Batch) -> Batch:
    """Return the batch after the changes that its pictures and masks wait for, if they do."""
    change = batch.picture_change
    if change is None or batch.image is None:
        return batch
    place, tones = change[:, :6].unflatten(1, (2, 3)), change[:, 6:]
    mask = None if batch.mask is None else _rounded(_warped(batch.mask, place))
    image = _rounded(_recoloured(_warped(batch.image, place), tones))
    return replace(batch, image=image, mask=mask, picture_change=None)


def _warped(
    picture: UInt8[Tensor, "batch channels h w"], place: Float[Tensor, "batch 2 3"]
) -> Float[Tensor, "batch channels h w"]:
    """Return the pictures with each pixel from its place, black where nothing was."""
    grid = functional.affine_grid(place, list(picture.shape), align_corners=False)
    return functional.grid_sample(
        picture.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def _recoloured(
    pixels: Float[Tensor, "batch 3 h w"], tones: Float[Tensor, "batch 4"]
) -> Float[Tensor, "batch 3 h w"]:
    brightness, contrast, saturation, noise = tones[:, :, None, None, None].unbind(dim=1)
    pixels = pixels * brightness
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * contrast + mean
    red, green, blue = pixels.unbind(dim=1)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]
    return grey + (pixels - grey) * saturation + noise * torch.randn_like(pixels)


def _rounded(pixels: Float[Tensor, "batch channels h w"]) -> UInt8[Tensor, "batch channels h w"]:
    return pixels.round().clamp(0.0, 255.0).to(torch.uint8)
