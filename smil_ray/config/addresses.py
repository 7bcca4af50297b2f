"""Places of data and results: paths, and addresses in an object store, `s3://` and `gs://`."""

import re
from pathlib import Path

from smil_ray.errors import ConfigError

_ADDRESS = re.compile(r"(s3|gs):/{1,2}([^/].*)")


def remote_address(place: str | Path | None) -> str | None:
    """Return the address in an object store that a place is, None where it is a path.

    A `Path` that was made of an address has lost a slash, and is understood all the same.

    Raises:
        ConfigError: The address has settings behind a question mark.
    """
    found = None if place is None else _ADDRESS.fullmatch(str(place))
    if found is None:
        return None
    if "?" in found[2]:
        raise ConfigError(
            f"{place}",
            expected="an address without settings",
            found=found[2].partition("?")[2],
            remedy="name the server in AWS_ENDPOINT_URL",
        )
    return f"{found[1]}://{found[2].rstrip('/')}"


def joined(address: str, *names: str) -> str:
    """Return the address of what lies below another one."""
    return "/".join([address.rstrip("/"), *names])


def resolved_place(place: str | Path) -> str:
    """Return an address as it is, and a path absolute and without links."""
    return remote_address(place) or str(Path(place).resolve())


def absolute_place(place: str | Path) -> str:
    """Return an address as it is, and a path absolute, wherever a program starts."""
    return remote_address(place) or str(Path(place).expanduser().absolute())
