"""A small synthetic replicAnt folder, and ways to break it."""

import json
from pathlib import Path

from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.orchestration.preprocess.plan import PreprocessOptions
from smil_ray.orchestration.synth import synthesize

SIZE = 48


def write_folder(folder: Path, samples: int, *, name: str = "tiny", seed: int = 1) -> Path:
    options = SynthOptions(samples=samples, image_size=64, seed=seed, name=name)
    synthesize(folder, options, num_workers=1)
    return folder


def options(**changes: object) -> PreprocessOptions:
    values: dict = {"size": SIZE, "chunk_size": 4, "min_visible_keypoints": 0, **changes}
    return PreprocessOptions(**values)


def break_entries(folder: Path) -> dict[str, str]:
    """Break eight entries of a folder; return the reason that each should be dropped for."""

    def edit(path: Path, **fields: object) -> None:
        document = json.loads(path.read_bytes())
        document["iterationData"].update(fields)
        path.write_text(json.dumps(document))

    stem = f"{folder}/tiny_"
    picture = Path(f"{stem}00.JPG")
    picture.write_bytes(picture.read_bytes()[:1500])
    Path(f"{stem}01.JPG").write_bytes(b"")
    annotation = Path(f"{stem}02.json")
    annotation.write_bytes(annotation.read_bytes()[:700])
    Path(f"{stem}03.JPG").unlink()
    Path(f"{stem}03.JPG").mkdir()
    Path(f"{stem}04.JPG").unlink()
    mask = Path(f"{stem}05_ID.png")
    mask.write_bytes(mask.read_bytes()[:60])
    edit(Path(f"{stem}06.json"), **{"subject Data": []})
    edit(Path(f"{stem}07.json"), camera={})
    return {
        "tiny_00": "image_damaged",
        "tiny_01": "image_unreadable",
        "tiny_02": "json_unreadable",
        "tiny_03": "image_unreadable",
        "tiny_04": "image_missing",
        "tiny_05": "mask_unreadable",
        "tiny_06": "subject_missing",
        "tiny_07": "camera_missing",
    }
