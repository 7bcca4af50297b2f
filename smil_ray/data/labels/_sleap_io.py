"""Files of labels through the library sleap-io, which is imported here alone.

Points of sleap-io are in the file's own pixels; `load` moves the origin to the picture's corner.
What sleap-io does not keep of a format comes from `_details`.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.config import LabelConfig
from smil_ray.data.labels import _details
from smil_ray.data.labels._naming import frame_group, path_name, unique_names
from smil_ray.data.labels.formats import DLC_FILE, FORMATS, YOLO_FILE, label_format
from smil_ray.data.labels.records import (
    LabelFile,
    LabelledAnimal,
    LabelledFrame,
    Loaded,
    Problem,
)
from smil_ray.errors import DataError

FORESEEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
)
"""What sleap-io and the libraries below it raise for damaged files."""
HALF_PIXEL = 0.5
_SPLITS = ("train", "val", "test")


def load(path: Path, config: LabelConfig) -> LabelFile:
    """Return what a file of labels says; pictures are not read.

    Raises:
        DataError: The file is damaged or of no format that is read, names places on the network,
            or holds no labelled animal.
    """
    form = label_format(path)
    pictures = None if config.pictures is None else Path(config.pictures)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = LOADERS[form](path, pictures)
        except FORESEEN as error:
            raise DataError(
                f"{path}: cannot be read as {FORMATS[form].title} labels",
                found=f"{type(error).__name__}: {_line(str(error))}",
            ) from error
    nodes = tuple(dict.fromkeys(n for f in found.frames for n in _nodes(f)))
    origin = FORMATS[form].origin if config.pixel_origin == "auto" else config.pixel_origin
    shift = HALF_PIXEL if origin == "centre" else 0.0
    base = path if path.is_dir() else path.parent
    frames = [
        _frame(found, number, nodes, shift, base, config) for number in range(len(found.frames))
    ]
    frames += [_missing_frame(name, problem, base, config) for name, problem in found.missing]
    if not any(frame.animals or frame.problem for frame in frames):
        predicted = sum(len(frame.predicted_instances) for frame in found.frames)
        raise DataError(
            f"{path}: no labelled animal",
            expected="labels made by a person",
            found=f"{predicted} predicted ones" if predicted else "none",
        )
    names = unique_names([frame.name for frame in frames])
    named = [replace(frame, name=name) for frame, name in zip(frames, names, strict=True)]
    used = tuple(sorted((f for f in named if f.animals or f.problem), key=lambda f: f.name))
    notes = [_line(str(warning.message)) for warning in caught]
    return LabelFile(path, form, nodes, used, tuple(dict.fromkeys(notes)))


def _load_slp(path: Path, pictures: Path | None) -> Loaded:
    sio = _sleap_io()
    # Unopened, because a video's name may be an address on the network.
    return _loaded(sio.load_slp(str(path), open_videos=False))


def _load_nwb(path: Path, pictures: Path | None) -> Loaded:
    return _loaded(_sleap_io().load_nwb(str(path)))


def _load_labelstudio(path: Path, pictures: Path | None) -> Loaded:
    return _loaded(_sleap_io().load_labelstudio(str(path)))


def _load_coco(path: Path, pictures: Path | None) -> Loaded:
    root = pictures or path.parent
    labels = _sleap_io().load_coco(str(path), dataset_root=str(root), segmentation_format="roi")
    found = _loaded(labels)
    details = _details.of_coco(path, [Path(file_of(f) or "") for f in found.frames], root)
    return replace(
        found, sizes=details.sizes, visibility=details.visibility, missing=details.missing
    )


def _load_ultralytics(path: Path, pictures: Path | None) -> Loaded:
    sio = _sleap_io()
    root = path if path.is_dir() else path.parent
    layout = _details.yolo_layout(root / YOLO_FILE)
    skeleton = sio.Skeleton(list(layout.names)) if layout.names else None
    frames: list[Any] = []
    files: list[Path] = []
    for split in _SPLITS:
        if (root / layout.images[split]).is_dir():
            labels = sio.load_ultralytics(str(root), split=split, skeleton=skeleton)
            frames.extend(labels.labeled_frames)
            stems = [Path(file_of(frame) or "").stem for frame in labels.labeled_frames]
            files.extend(root / layout.labels(split) / f"{stem}.txt" for stem in stems)
    if not frames:
        raise DataError(
            f"{root / YOLO_FILE}: no pictures",
            expected=f"folders such as {root / layout.images['train']}",
            found="none",
        )
    return Loaded(tuple(frames), {}, {}, _details.of_yolo(files))


def _load_dlc(path: Path, pictures: Path | None) -> Loaded:
    labels = _sleap_io().load_dlc(str(path))
    return _with_dlc_pictures(_loaded(labels), [path])


def _load_dlc_project(path: Path, pictures: Path | None) -> Loaded:
    config = path / DLC_FILE if path.is_dir() else path
    labels = _sleap_io().load_dlc_project(str(config))
    return _with_dlc_pictures(_loaded(labels), _details.dlc_project_files(config))


def _with_dlc_pictures(found: Loaded, files: list[Path]) -> Loaded:
    """Give each frame the picture of its line: sleap-io miscounts where pictures are missing."""
    lines = [line for file in files for line in _details.dlc_lines(file)]
    read = [line for line in lines if line.is_read]
    if len(read) != len(found.frames):
        raise DataError(
            f"{files[0]}: lines and labels differ in number",
            expected=f"{len(read)} labelled pictures",
            found=len(found.frames),
        )
    pictures = {n: line.picture for n, line in enumerate(read) if line.picture is not None}
    kept = [n for n, line in enumerate(read) if line.picture is not None]
    missing = [line for line in lines if line.picture is None]
    return Loaded(
        tuple(found.frames[n] for n in kept),
        {place: pictures[n] for place, n in enumerate(kept)},
        {},
        {},
        tuple(
            (line.name, ("image_missing", f"{line.file}: no picture {line.name!r} near it"))
            for line in missing
        ),
    )


LOADERS: dict[str, Callable[[Path, Path | None], Loaded]] = {
    "slp": _load_slp,
    "dlc": _load_dlc,
    "dlc_project": _load_dlc_project,
    "coco": _load_coco,
    "ultralytics": _load_ultralytics,
    "nwb": _load_nwb,
    "labelstudio": _load_labelstudio,
}
"""Format -> function of the file and of the folder with pictures; keys as in `formats.FORMATS`."""


def _loaded(labels: Any) -> Loaded:
    return Loaded(tuple(labels.labeled_frames), {}, {}, {})


def _frame(
    found: Loaded,
    number: int,
    nodes: tuple[str, ...],
    shift: float,
    base: Path,
    config: LabelConfig,
) -> LabelledFrame:
    frame = found.frames[number]
    flags = found.visibility.get(number, [])
    animals = []
    for place, instance in enumerate(frame.user_instances):
        flag = flags[place] if place < len(flags) else None
        animal = _animal(frame, instance, nodes, shift, flag)
        if np.isfinite(animal.points_px).any():
            animals.append(animal)
    file = found.pictures.get(number) or file_of(frame)
    place = Path(file) if file is not None else None
    source = place or source_of(frame.video)
    name = path_name(source, base)
    file_name = name + source.suffix
    if place is None:
        name = f"{name}/{int(frame.frame_idx):06d}"
    group = frame_group(name, is_picture=place is not None)
    return LabelledFrame(
        name=name,
        group=name if config.group_by == "picture" else group,
        file_name=file_name,
        picture=place,
        video=None if place is not None else frame.video,
        index=int(frame.frame_idx),
        animals=tuple(animals),
        size_px=found.sizes.get(number),
        problem=_remote(source),
    )


def _missing_frame(name: str, problem: Problem, base: Path, config: LabelConfig) -> LabelledFrame:
    file = Path(name)
    name = path_name(file, base)
    group = name if config.group_by == "picture" else frame_group(name, is_picture=True)
    return LabelledFrame(name, group, name + file.suffix, None, None, 0, (), problem=problem)


def _animal(
    frame: Any, instance: Any, nodes: tuple[str, ...], shift: float, flags: np.ndarray | None
) -> LabelledAnimal:
    points = np.full((len(nodes), 2), np.nan)
    seen = np.zeros(len(nodes), dtype=bool)
    rows = [nodes.index(name) for name in instance.skeleton.node_names]
    points[rows] = instance.numpy()[:, :2] + shift
    known = np.isfinite(points[rows]).all(axis=1)
    seen[rows] = known if flags is None else known & (flags > 1)
    linked = [box for box in frame.bboxes if box.instance is instance]
    return LabelledAnimal(
        points_px=points,
        seen=seen,
        box_px=np.array(linked[0].xyxy, dtype=float) if linked else None,
        polygons_px=tuple(
            np.asarray(ring.exterior.coords, dtype=float)
            for region in frame.rois
            if region.instance is instance
            for ring in _rings(region.geometry)
        ),
        masks=tuple(np.asarray(m.data, dtype=bool) for m in frame.masks if m.instance is instance),
    )


def _rings(geometry: Any) -> Iterator[Any]:
    yield from (
        ring for ring in getattr(geometry, "geoms", [geometry]) if hasattr(ring, "exterior")
    )


def _nodes(frame: Any) -> list[str]:
    return [name for instance in frame.instances for name in instance.skeleton.node_names]


def file_of(frame: Any) -> str | None:
    """Return the picture file of a frame whose video is a list of pictures."""
    files = frame.video.filename
    return str(files[int(frame.frame_idx)]) if isinstance(files, list) else None


def source_of(video: Any) -> Path:
    """Return the file of a video, or of the one that pictures inside a label file are from."""
    known = video.source_video or video
    files = known.filename
    return Path(str(files[0]) if isinstance(files, list) else str(files))


def _remote(source: Path) -> Problem | None:
    if ":/" not in str(source)[2:]:  # "C:/" is a folder.
        return None
    return "video_missing", f"{source}: pictures on the network are not read; download them"


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _sleap_io() -> Any:
    """Return the library; imported late, because most commands need no labels."""
    try:
        import sleap_io
    except ImportError as error:
        raise DataError(
            "reading labels needs the package sleap-io",
            found=str(error),
            remedy="pip install 'smil-ray[labels]'",
        ) from error
    return sleap_io
