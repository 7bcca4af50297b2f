"""Joints by part of the body, from their names: legs, antennae, body and the like.

Names are split into words at `_`, `-`, `.`, spaces, digits and changes of case, so that `l_1_fe_r`
(replicAnt's short names), `LeftFrontLeg2` and `left_knee` are all understood.
"""

import re
from collections.abc import Sequence

SHORT_NAMES = {"l": "legs", "an": "antennae", "w": "wings", "ma": "mouthparts", "b": "body"}
"""First word of replicAnt's names, such as `an_1_r`."""
WORDS = {
    "legs": (
        "leg coxa trochanter femur tibia tarsus pretarsus hip thigh knee shin calf ankle foot toe "
        "paw hoof"
    ),
    "arms": "arm forearm shoulder elbow wrist hand finger thumb collar",
    "antennae": "antenna antennae feeler scape pedicel flagellum",
    "wings": "wing forewing hindwing elytron elytra haltere",
    "mouthparts": "mouth mandible jaw palp proboscis",
    "tail": "tail",
    "body": (
        "body thorax abdomen head neck spine pelvis trunk torso chest back root mesosoma gaster"
    ),
}
"""Words that tell what a joint belongs to; where a name has several, the first group wins."""
FEWEST_GROUPS = 2
FEWEST_NAMED = 0.5
"""Where less than this share of the joints is recognised, names follow other rules."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def joint_groups(joint_names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the joints of each part of the body; none where names do not tell.

    Joints that belong to no known part are in no group.
    """
    is_short = _uses_short_names(joint_names)
    found: dict[str, list[int]] = {}
    for joint, name in enumerate(joint_names):
        group = _short_group(name) if is_short else _group_by_words(name)
        if group is not None:
            found.setdefault(group, []).append(joint)
    named = sum(len(joints) for joints in found.values())
    if len(found) < FEWEST_GROUPS or named < FEWEST_NAMED * len(joint_names):
        return {}
    return {group: tuple(found[group]) for group in WORDS if group in found}


def _uses_short_names(joint_names: Sequence[str]) -> bool:
    """Whether nearly all names begin like replicAnt's; `l` alone may also stand for left."""
    first = [_short_group(name) for name in joint_names]
    return "body" in first and sum(group is not None for group in first) > 0.9 * len(first)


def _short_group(name: str) -> str | None:
    return SHORT_NAMES.get(name.split("_")[0]) if "_" in name else None


def _group_by_words(name: str) -> str | None:
    words = {word.lower() for word in _WORD.findall(name)}
    words |= {word.removesuffix("s") for word in words}
    for group, known in WORDS.items():
        if words & set(known.split()):
            return group
    return None
