"""Files that are whole or absent, and libraries that may be absent."""

import os
from collections.abc import Callable
from pathlib import Path

from smil_ray.errors import ConfigError, DataError


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Have `write` fill a file beside `path` that then takes its place; folders are made.

    Raises:
        DataError: It cannot be written.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written", found=error.strerror, remedy="choose another --out"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def missing_library(kind: str, package: str) -> ConfigError:
    """Return the error of a format whose library is not installed."""
    return ConfigError(
        f"--to {kind}",
        expected=f"the package {package}",
        found="none installed",
        remedy="pip install 'smil-ray[export]'",
    )
