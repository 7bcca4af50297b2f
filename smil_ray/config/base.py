"""What all groups of settings share: strict reading, and kinds of numbers."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Epoch = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """Base of all configuration: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class Stage(Settings):
    """What holds from `epoch` on; the seed's spelling `(epoch, value)` is accepted as well."""

    epoch: Epoch

    @model_validator(mode="before")
    @classmethod
    def _accept_pairs(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) == 2:
            return dict(zip(cls.model_fields, value, strict=True))
        return value


def booleans_as_words(meant: dict[bool, str]) -> BeforeValidator:
    """Accept booleans_as_words without quotes that YAML 1.1 reads as booleans: yes, no, off."""
    return BeforeValidator(lambda said: meant.get(said, said) if isinstance(said, bool) else said)
