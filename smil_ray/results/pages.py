"""Pages that need no other file and no network: templates filled in, and contents as addresses."""

import base64
import shlex
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, content: Mapping[str, Any]) -> str:
    """Return a page; what content says is escaped, and a name that it lacks is an error.

    Args:
        package: The package whose folder `templates` holds the template.
        template: Its file name.
        content: Names in the template -> what stands there.
    """
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quoted"] = lambda path: shlex.quote(str(path))
    return environment.get_template(template).render(content)


def data_address(kind: str, content: bytes) -> str:
    """Return content as an address that holds it; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
