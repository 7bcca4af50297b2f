"""The reports' templates, filled in."""

import shlex
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, content: Mapping[str, Any]) -> str:
    """Return a page; what content says is escaped, and a name that it lacks is an error."""
    environment = Environment(
        loader=PackageLoader("smil_ray.results.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quoted"] = lambda path: shlex.quote(str(path))
    return environment.get_template(template).render(content)
