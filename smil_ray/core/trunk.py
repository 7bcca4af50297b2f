"""Which joints belong to an animal's trunk, told by their names."""

import re
from collections.abc import Sequence

_TRUNK_PREFIX = "b_"
"""replicAnt's insects begin the joints of the body so: abdomen, thorax, head."""
_APPENDAGES = (
    *("tail", "antenna", "antennae", "whisker", "wing", "horn", "fin"),
    *("leg", "arm", "foot", "feet", "paw", "hand", "toe", "finger", "thumb", "claw", "hoof"),
    *("knee", "ankle", "elbow", "wrist", "ear", "eye", "jaw", "mouth", "tongue", "mandible"),
)
"""Parts that are no trunk, as words of a joint's name, in the singular."""
_GLUED = ("tail", "antenna", "whisker")
"""Parts that are recognised inside longer words, such as `tailbase`, as well."""
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_SIDES = re.compile(r"left|right|(?<![A-Za-z])[lr](?![a-z])|^[lr]", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


def trunk_joints(names: Sequence[str]) -> set[int]:
    """Return the joints that may lie along the trunk; all of them where the names tell nothing.

    Joints that begin with `b_` are the trunk, as in replicAnt's insects. For other animals it is
    what is neither an appendage by name (tail, ears, antennae, limbs, ...) nor one of a pair.
    """
    known = set(names)
    central = {j for j, name in enumerate(names) if not _is_appendage(name)}
    insect = {j for j in central if names[j].startswith(_TRUNK_PREFIX)}
    unpaired = {j for j in central if not _is_one_of_a_pair(names[j], known)}
    return next((found for found in (insect, unpaired) if len(found) > 1), set(range(len(names))))


def _is_appendage(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    return any(
        word.removesuffix("s") in _APPENDAGES
        or word in _APPENDAGES
        or any(part in word for part in _GLUED)
        for word in words
    )


def _is_one_of_a_pair(name: str, known: set[str]) -> bool:
    """Return whether the name of the other side is a joint as well (`_l`, `L_`, `LF`, `left`)."""
    for side in _SIDES.finditer(name):
        word = side.group()
        other = _OTHER_SIDE[word.lower()]
        other = other.upper() if word.isupper() else other.title() if word[0].isupper() else other
        if name[: side.start()] + other + name[side.end() :] in known:
            return True
    return False
