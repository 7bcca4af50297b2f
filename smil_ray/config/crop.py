"""Settings of the squares that are cut out around animals, in preprocessing and from folders."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from smil_ray.config.base import Settings

Margin = Annotated[float, Field(ge=0.0, le=4.0)]


class CropConfig(Settings):
    """How a picture is cut: `none` keeps it whole, `bbox` cuts a square around each animal.

    Written as a word (`crop: bbox`) it has the other settings' defaults (`data_format.md` 8.7).

    Attributes:
        mode: `none` or `bbox`.
        margin: Room around the box of the animal, drawn between these two, as a share of the
            box's longer side: with 0.2 the square's side is 1.2 times as long.
        shift: How far the square may lie off the box's centre, along each axis and as a share of
            the box's longer side. Up to half the smaller margin the animal is never cut.
        per_sample: Crops of each animal, each with its own margin and shift.
        seed: Of margins and shifts, together with the sample's name.
    """

    mode: Literal["none", "bbox"] = "none"
    margin: tuple[Margin, Margin] = (0.2, 0.5)
    shift: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    per_sample: Annotated[int, Field(ge=1, le=100)] = 1
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _accept_a_word(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _values_agree(self) -> "CropConfig":
        if self.margin[0] > self.margin[1]:
            raise ValueError(f"margin: the first is the smaller one, found {self.margin}")
        if self.mode == "none" and self.per_sample > 1:
            raise ValueError("several crops of a sample need mode bbox")
        return self

    @property
    def mean_margin(self) -> float:
        """The margin at which a network trained on these crops is asked."""
        return (self.margin[0] + self.margin[1]) / 2.0
