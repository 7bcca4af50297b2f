"""The errors that a person sees: the place, what was expected, what was found, what to do."""

import difflib
from collections.abc import Iterable


class SmilRayError(Exception):
    """Base of every error that the command line turns into one sentence and exit code 2.

    Args:
        message: What is wrong, naming the file or setting.
        expected: What would have been right.
        found: What is there instead.
        remedy: What the person can do now.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: object | None = None,
        found: object | None = None,
        remedy: str | None = None,
    ) -> None:
        parts = [message.rstrip(".")]
        if expected is not None:
            parts.append(f"expected {expected}")
        if found is not None:
            parts.append(f"found {found}")
        if remedy is not None:
            parts.append(remedy.rstrip("."))
        super().__init__("; ".join(parts) + ".")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling, because Ray carries errors between processes."""
        return _rebuild, (type(self), str(self))


def _rebuild(kind: type[SmilRayError], text: str) -> SmilRayError:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


class ConfigError(SmilRayError):
    """A setting is unknown, has the wrong type or contradicts another one."""


class DataError(SmilRayError):
    """A data set, an image, a JSON or an HDF5 file is not what it should be."""


class ModelFileError(SmilRayError):
    """A SMIL/SMAL/SMPL model file is missing, broken or unsafe to read."""


class CheckpointError(SmilRayError):
    """A checkpoint is missing, broken or belongs to another configuration."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is spelt most like `name`; None where there is no known one."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), None)
