"""The command serve: a web page for one trained network."""

import argparse

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, add_device, add_run, count, positive


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    job = add_command(
        commands,
        "serve",
        _serve,
        "A web page on this machine: drop pictures or a video, see mesh and joint angles, drag\n"
        "joints that are wrong, and download labels and results.",
        "smil-ray serve runs/sweep/final",
    )
    add_run(job)
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


def _serve(arguments: argparse.Namespace) -> int:
    from smil_ray.errors import ConfigError
    from smil_ray.results.prediction.cameras import KnownCamera
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
    loaded = load_regressor(arguments.checkpoint, device=arguments.device)
    console = Console()
    serve(
        loaded,
        host=arguments.host,
        port=arguments.port,
        camera=camera,
        say=lambda text: console.print(text, markup=False, soft_wrap=True),
    )
    return 0
