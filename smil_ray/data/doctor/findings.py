"""Every kind of finding, and what the examination of one entry found."""

from dataclasses import dataclass
from typing import Literal

from smil_ray.data.filters import REASONS


@dataclass(frozen=True)
class Kind:
    """A kind of finding: `error` makes an entry unusable, `warning` does not."""

    severity: Literal["error", "warning"]
    sentence: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one entry."""

    kind: str
    name: str
    message: str


KINDS: dict[str, Kind] = {
    **{reason: Kind("error", sentence) for reason, sentence in REASONS.items()},
    "missing joints": Kind("warning", "joints of the body model are missing in the file"),
    "unknown joints": Kind("warning", "joints of the file are unknown to the body model"),
    "shape betas": Kind("warning", "their number does not fit the body model"),
    "ScaleWeights": Kind("warning", "their number does not fit the body model"),
    "TranslationWeights": Kind("warning", "their number does not fit the body model"),
    "points outside": Kind("warning", "labelled points lie outside the picture"),
    "picture size": Kind("warning", "the labels claim another size than the picture has"),
    "mask size": Kind("warning", "masks of another size than the picture are left out"),
    "keypoints": Kind("warning", "some joints have 2D but no 3D positions"),
    "no_mask": Kind("warning", "there is no ID mask: no silhouette, visibility from the frame"),
    "empty_mask": Kind("warning", "the ID mask does not show the subject"),
    "faint_picture": Kind("warning", "the picture is all but even where the subject is"),
    "exif_orientation": Kind(
        "warning",
        "EXIF lets viewers turn the picture; its pixels are used as they are stored",
    ),
    "deep_pixels": Kind("warning", "more than 8 bits a channel are scaled by their own range"),
    "not_annotated": Kind("warning", "a picture without an annotation is left out"),
    "image_disagrees": Kind("warning", "the picture shows no edges where the mask has them"),
}
"""Every kind of finding, its severity and its sentence."""


@dataclass(frozen=True)
class EntryReport:
    """What one entry contributes to the report.

    Attributes:
        findings: (kind, message) pairs.
        image_hash, json_hash: Content of the files, empty when unreadable.
        labels: Names of labels that each usable sample has.
        coverage: Silhouette's share of each sample's picture, None without a mask.
        keypoints: (present, in frame, visible) counts over the samples.
        picture_side: Side of the padded square, 0 when unusable.
        fov: Vertical fields of view, degrees.
        edge_score: How well picture and mask fit (`doctor.pictures`); None where it is open.
    """

    name: str
    findings: tuple[tuple[str, str], ...]
    image_hash: str
    json_hash: str
    labels: tuple[frozenset[str], ...] = ()
    coverage: tuple[float | None, ...] = ()
    keypoints: tuple[int, int, int] = (0, 0, 0)
    picture_side: int = 0
    fov: tuple[float, ...] = ()
    edge_score: float | None = None
