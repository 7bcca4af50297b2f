"""Names of labelled points to joints of the body model: the map, its file and its draft."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from smil_ray.config.reading import read_yaml
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ConfigError, DataError, nearest

JointMap = dict[str, str | None]
"""Name in the file -> joint of the body model; None leaves the point out."""
_LEAST_LIKENESS = 0.6
_WORDS = {"left": "l", "right": "r", "ant": "an", "antenna": "an", "leg": "l", "head": "h"}
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_SEPARATORS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])")


def read_joint_map(path: Path) -> JointMap:
    """Return the map of a YAML file.

    Raises:
        ConfigError: It is no mapping of names to names (or null).
    """
    values = read_yaml(path)
    for name, joint in values.items():
        if not isinstance(joint, str | None):
            raise ConfigError(
                f"{path}: {name}", expected="a joint's name, or null", found=repr(joint)
            )
    return {str(name): joint for name, joint in values.items()}


def resolve(
    node_names: Sequence[str],
    skeleton: Skeleton,
    given: Mapping[str, str | None] | None,
    where: str,
) -> dict[int, int]:
    """Return the joint's index for each point's that stands for one.

    Args:
        node_names: Of the file.
        skeleton: Of the body model.
        given: Name -> joint; None takes equal names.
        where: The file, for messages.

    Raises:
        ConfigError: The map names a point or a joint that does not exist, or a joint twice.
        DataError: No point stands for a joint.
    """
    if given is None:
        given = {name: name for name in node_names if name in skeleton.index}
    places = {name: number for number, name in enumerate(node_names)}
    found: dict[int, int] = {}
    for name, joint in given.items():
        if name not in places:
            raise ConfigError(
                f"joint map: {where} has no point {name!r}",
                expected=f"names such as {nearest(name, node_names)!r}",
                remedy="`smil-ray joint-map` writes a draft",
            )
        if joint is None:
            continue
        if joint not in skeleton.index:
            raise ConfigError(
                f"joint map: {name}: the body model has no joint {joint!r}",
                expected=f"names such as {nearest(joint, skeleton.joint_names)!r}",
            )
        if skeleton.index[joint] in found.values():
            raise ConfigError(f"joint map: {joint!r} is given twice", found=f"again for {name!r}")
        found[places[name]] = skeleton.index[joint]
    if not found:
        raise DataError(
            f"{where}: no labelled point is a joint of the body model",
            expected=f"names such as {', '.join(skeleton.joint_names[:3])}",
            found=", ".join(node_names[:6]) or "no names",
            remedy="draft a map with `smil-ray joint-map` and give it with --joint-map",
        )
    return found


def draft(node_names: Sequence[str], skeleton: Skeleton, title: str) -> str:
    """Return a map as YAML for a person to finish: equal names, else the nearest ones.

    A guess is marked; a name that is like no joint is null. Joints that nothing stands for are
    listed at the end.
    """
    free = [joint for joint in skeleton.joint_names if joint not in node_names]
    lines = [
        f"# Points of {title} -> joints of the body model. Check every line that says guess;",
        "# null leaves a point out.",
    ]
    used = []
    for name in node_names:
        if name in skeleton.index:
            lines.append(f"{_key(name)}: {_key(name)}")
            used.append(name)
            continue
        guess = _guess(name, free)
        if guess is None:
            lines.append(f"{_key(name)}: null  # like no joint")
        else:
            free.remove(guess)
            used.append(guess)
            lines.append(f"{_key(name)}: {_key(guess)}  # guess")
    rest = [joint for joint in skeleton.joint_names if joint not in used]
    lines.append(f"# Joints without a point: {', '.join(rest) or 'none'}")
    return "\n".join([*lines, ""])


def _guess(name: str, joints: Sequence[str]) -> str | None:
    likeness = {
        joint: difflib.SequenceMatcher(None, _plain(name), _plain(joint)).ratio()
        for joint in joints
        if _side(joint) == _side(name)
    }
    best = max(likeness, key=lambda joint: likeness[joint], default=None)
    return best if best is not None and likeness[best] >= _LEAST_LIKENESS else None


def _plain(name: str) -> str:
    """Return a name's words in lower case and short: `LeftLeg1` and `l_1_l` come close."""
    return "_".join(sorted(_words(name)))


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _SEPARATORS.split(name) if word]
    return [_WORDS.get(word, word) for word in words]


def _side(name: str) -> str:
    """Return `l`, `r` or nothing, by a word for it at either end of the name."""
    words = [word.lower() for word in _SEPARATORS.split(name) if word]
    ends = {words[0], words[-1]} if words else set()
    if ends & {"left", "right"}:
        return "l" if "left" in ends else "r"
    return words[-1] if words and words[-1] in ("l", "r") else ""


def _key(name: str) -> str:
    """Return a name as YAML writes it: quoted where it is not a plain word."""
    is_plain = re.fullmatch(r"[A-Za-z][\w-]*", name) and name.lower() not in _YAML_WORDS
    return name if is_plain else "'" + name.replace("'", "''") + "'"
