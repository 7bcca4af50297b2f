"""Addresses of networks at MLflow: `models:/NAME@alias`, `models:/NAME/3`, `models:/m-...`."""

from dataclasses import dataclass

from smil_ray.errors import ConfigError

SCHEME = "models:/"


@dataclass(frozen=True)
class ModelAddress:
    """What an address means: a version, an alias, or one logged model.

    Attributes:
        text: As it was given.
        name: Of the registered model, None for a logged one.
        version: Its number.
        alias: Its alias.
        model_id: Of a logged model, `m-...`.
    """

    text: str
    name: str | None = None
    version: str | None = None
    alias: str | None = None
    model_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelAddress":
        """Return what an address means.

        Raises:
            ConfigError: It is of no form that is known.
        """
        name, slash, version = text.removeprefix(SCHEME).strip("/").partition("/")
        if slash and name and "@" not in name and version.isdecimal():
            return cls(text, name=name, version=version)
        before, at, alias = name.rpartition("@")
        if not slash and at and before and alias:
            return cls(text, name=before, alias=alias)
        if not slash and not at and name.startswith("m-"):
            return cls(text, model_id=name)
        raise ConfigError(
            f"network {text}",
            expected="models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-IDENTIFIER",
            remedy="`smil-ray register RUN --alias champion` prints the address",
        )
