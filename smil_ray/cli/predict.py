"""The commands predict, a network on pictures and videos, export of what it left, and serve."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from smil_ray.cli.arguments import (
    Commands,
    add_address,
    add_command,
    add_device,
    add_run,
    count,
    count_or_zero,
    positive,
)
from smil_ray.cli.labels import add_keypoint_arguments, keypoints_of
from smil_ray.cli.progress import progress_bar

if TYPE_CHECKING:
    from smil_ray.orchestration.predict import RaySpread
    from smil_ray.results.prediction.cameras import KnownCamera
    from smil_ray.training.checkpoint.loading import LoadedRegressor

_MOST_NAMED = 20


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    predict = add_command(
        commands,
        "predict",
        _predict,
        "Joints, parameters and overlays of the animals in pictures and videos.\n"
        "The same command goes on after an interruption: what is in --out is not done again.",
        "smil-ray predict runs/sweep/final photo.jpg folder/ 'films/*.mp4' --out results",
    )
    add_run(predict, registered=True)
    predict.add_argument(
        "inputs", type=Path, nargs="+", help="pictures, videos, folders, or patterns in quotes"
    )
    predict.add_argument("--out", type=Path, required=True, help="folder for the results")
    predict.add_argument(
        "--recursive", action="store_true", help="look into folders within folders too"
    )
    predict.add_argument(
        "--frames",
        default="0:",
        metavar="START:STOP:STEP",
        help="frames of videos, counted from 0, STOP not included (default: all)",
    )
    predict.add_argument("--batch-size", type=count, default=8, help="animals at once (default 8)")
    add_device(predict)
    add_address(
        predict,
        "share the work out over a Ray cluster whose nodes all see the files; local: over "
        "all cores or GPUs of this machine (default: what RAY_ADDRESS names, else this process)",
    )
    predict.add_argument(
        "--smooth",
        default="none",
        choices=("none", "weak", "medium", "strong"),
        help="smooth videos over time, with one shape for each animal (default: none)",
    )
    predict.add_argument(
        "--rank-uncertain",
        type=count_or_zero,
        default=0,
        metavar="N",
        help="name the N frames most worth labelling, spread over each video (to_label.csv)",
    )
    predict.add_argument("--no-overlays", action="store_true", help="draw nothing")
    predict.add_argument(
        "--fresh", action="store_true", help="throw away what --out holds and begin anew"
    )
    predict.add_argument(
        "--box",
        metavar="FILE|auto|none",
        help="squares for the network: around boxes of a CSV (file,x,y,w,h; pixels; frame and "
        "animal for videos), COCO or SLEAP file, around the animal that it finds in the whole "
        "image, or the whole image (default: auto for networks trained on crops, else none)",
    )
    camera = predict.add_mutually_exclusive_group()
    camera.add_argument(
        "--fov-deg", type=positive, help="full vertical field of view of the images, if known"
    )
    camera.add_argument(
        "--intrinsics",
        nargs="+",
        metavar=("FX FY CX CY", "FILE"),
        help="calibrated camera of the images, pixels: four numbers, or a JSON file (fx, fy, cx, "
        "cy or camera_matrix), or a CSV file (file,fx,fy,cx,cy)",
    )
    add_keypoint_arguments(
        predict, "networks trained with model.head.prompt_share take them as an input"
    )
    _add_export(commands)
    _add_serve(commands)


def _add_export(commands: Commands) -> None:
    export = add_command(
        commands,
        "export",
        _export,
        "Predictions as files for Blender and other 3D programs, with the camera.",
        "smil-ray export results --to glb --source film --out film.glb",
    )
    export.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="folder that predict or refine wrote"
    )
    export.add_argument(
        "--to",
        required=True,
        choices=("glb", "obj", "ply", "usd", "bvh", "npz"),
        help="glb: skinned, animated glTF; obj, ply: mesh of a frame; usd: mesh in every frame; "
        "bvh: skeleton and rotations; npz: SMPL's layout",
    )
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the file; of obj and ply also a folder, for a file of each frame and animal",
    )
    export.add_argument(
        "--source",
        metavar="NAME",
        help="picture or video, as animals.csv has it (if several)",
    )
    export.add_argument(
        "--animal", type=count_or_zero, help="number of the animal, from 0 (if several)"
    )
    export.add_argument(
        "--frames",
        default="0:",
        metavar="N|START:STOP:STEP",
        help="frames of a video, counted from 0, STOP not included (default: all)",
    )
    export.add_argument(
        "--run",
        dest="checkpoint",
        type=Path,
        help="the network that predicted, for its body model (default: where it was then)",
    )


def _add_serve(commands: Commands) -> None:
    job = add_command(
        commands,
        "serve",
        _serve,
        "A web page on this machine: drop pictures or a video, see mesh and joint angles, drag\n"
        "joints that are wrong, and download labels and results.",
        "smil-ray serve runs/sweep/final",
    )
    add_run(job, registered=True)
    job.add_argument(
        "--host",
        default="127.0.0.1",
        help="where to listen (default: this machine alone); elsewhere a random token is demanded",
    )
    job.add_argument("--port", type=count, default=8000, help="(default 8000)")
    add_device(job)
    job.add_argument(
        "--fov-deg", type=positive, help="full vertical field of view of the pictures, if known"
    )


def _predict(arguments: argparse.Namespace) -> int:
    from smil_ray.results.prediction.boxes import read_boxes
    from smil_ray.results.prediction.images import find_images
    from smil_ray.results.prediction.options import PredictOptions
    from smil_ray.results.prediction.predict import predict_images
    from smil_ray.results.prediction.video import FrameRange
    from smil_ray.tracking.models.local import network_folder
    from smil_ray.training.checkpoint.loading import load_regressor

    box = arguments.box
    boxes = read_boxes(Path(box)) if box not in (None, "auto", "none") else box
    camera = _camera(arguments)
    images = find_images(arguments.inputs, recursive=arguments.recursive)
    loaded = load_regressor(network_folder(arguments.checkpoint), device=arguments.device)
    keypoints = keypoints_of(arguments, loaded.model.skeleton)
    console = Console()
    options = PredictOptions(
        batch_size=arguments.batch_size,
        frames=FrameRange.parse(arguments.frames),
        overlays=not arguments.no_overlays,
        fresh=arguments.fresh,
        smooth=arguments.smooth,
        rank_uncertain=arguments.rank_uncertain,
        spread=_spread(loaded, arguments.address),
    )
    with progress_bar("predicting", console) as update:
        report = predict_images(
            loaded,
            images.paths,
            arguments.out,
            boxes=boxes,
            camera=camera,
            keypoints=keypoints,
            options=options,
            progress=lambda what, done, total: update(done, total, what),
        )
    total = len(report.done) + len(report.failed)
    before = f" ({report.found_done} of them before)" if report.found_done else ""
    console.print(f"{len(report.done)} of {total} done{before}; results in {arguments.out}")
    for note in (*report.notes, *images.notes()):
        console.print(f"note: {note}", markup=False)
    for path, reason in list(report.failed.items())[:_MOST_NAMED]:
        console.print(f"failed: {path}: {reason}", markup=False)
    if len(report.failed) > _MOST_NAMED:
        more = len(report.failed) - _MOST_NAMED
        console.print(f"failed: {more} more, all of them in {arguments.out}/summary.html")
    return 1 if report.failed else 0


def _spread(loaded: "LoadedRegressor", address: str | None) -> "RaySpread | None":
    """Return how work goes to Ray; None where neither the command nor RAY_ADDRESS asks for it."""
    from smil_ray.orchestration.cluster import chosen_address
    from smil_ray.orchestration.predict import spread_on_ray

    if address is None and chosen_address(None) == "local":
        return None
    return spread_on_ray(loaded, address)


def _camera(arguments: argparse.Namespace) -> "KnownCamera | None":
    """Return the camera that was given; ConfigError or DataError where it is not usable."""
    from smil_ray.results.prediction.cameras import KnownCamera

    if arguments.fov_deg is not None:
        return KnownCamera.from_fov(arguments.fov_deg)
    given = arguments.intrinsics
    if given is None:
        return None
    return KnownCamera.read(Path(given[0])) if len(given) == 1 else KnownCamera.from_pixels(given)


def _export(arguments: argparse.Namespace) -> int:
    from smil_ray.results.export import Wanted, export_predictions
    from smil_ray.results.prediction.video import FrameRange

    text = arguments.frames
    frames = FrameRange.parse(f"{text}:{int(text) + 1}" if text.isdecimal() else text)
    report = export_predictions(
        arguments.predictions,
        arguments.to,
        arguments.out,
        wanted=Wanted(arguments.source, arguments.animal, frames),
        run=arguments.checkpoint,
    )
    console = Console()
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    what = "1 frame" if report.n_frames == 1 else f"{report.n_frames} frames"
    console.print(f"{what} in {arguments.out}", markup=False)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from smil_ray.errors import ConfigError
    from smil_ray.results.prediction.cameras import KnownCamera
    from smil_ray.tracking.models.local import is_address, network_folder
    from smil_ray.training.checkpoint.loading import load_regressor

    try:
        from smil_ray.serve.server import serve
    except ImportError as error:
        raise ConfigError(
            "serve needs FastAPI and uvicorn",
            found=str(error),
            remedy="pip install 'smil-ray[serve]'",
        ) from error
    fov_deg = arguments.fov_deg
    camera = None if fov_deg is None else KnownCamera.from_fov(fov_deg)
    loaded = load_regressor(network_folder(arguments.checkpoint), device=arguments.device)
    console = Console()
    serve(
        loaded,
        host=arguments.host,
        port=arguments.port,
        camera=camera,
        name=str(arguments.checkpoint) if is_address(arguments.checkpoint) else None,
        say=lambda text: console.print(text, markup=False, soft_wrap=True),
    )
    return 0
