"""Settings of files of 2D labels: what names and coordinates mean, where the pictures are."""

from typing import Annotated, Literal

from pydantic import Field

from smil_ray.config.base import Settings

PixelOrigin = Literal["auto", "centre", "corner"]


class LabelConfig(Settings):
    """How labels made in SLEAP, DeepLabCut, COCO tools and others become samples.

    Attributes:
        joint_map: Name in the file -> joint of the body model, or null for a name to leave out;
            null as a whole: equal names.
        pixel_origin: Where the point (0, 0) lies in the top left pixel. `auto` takes what the
            format's own tools do (`docs/labels.md`).
        pictures: Folder with the pictures or videos, where they are not where the file says.
        group_by: What splits keep together: the frames of a `video` (or folder), or nothing but
            the animals of one `picture`.
        fov_deg: Full vertical field of view of the whole pictures; null where it is not known.
    """

    joint_map: dict[str, str | None] | None = None
    pixel_origin: PixelOrigin = "auto"
    pictures: str | None = None
    group_by: Literal["video", "picture"] = "video"
    fov_deg: Annotated[float, Field(gt=0.0, lt=180.0)] | None = None
