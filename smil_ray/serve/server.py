"""The server itself: where it listens, and what it prints."""

import secrets
from collections.abc import Callable

import uvicorn

from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.serve.app import make_app
from smil_ray.serve.session import Session
from smil_ray.training.checkpoint.loading import LoadedRegressor

LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(
    loaded: LoadedRegressor,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    camera: KnownCamera | None = None,
    name: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page until interrupted; files that were sent are deleted then.

    Args:
        loaded: The network.
        host: Address to listen at; requests to any but this machine's own need a random token.
        port: Port.
        camera: Of all pictures, where it is known.
        name: What the network is called; default: its run folder's name.
        say: Gets the page's address.

    Raises:
        ConfigError: The network needs to know the camera, and it is not given.
    """
    token = None if host in LOCAL else secrets.token_urlsafe(24)
    with Session(loaded, camera, name) as session:
        shown = f"[{host}]" if ":" in host else host
        query = "" if token is None else f"?token={token}"
        say(f"http://{shown}:{port}/{query}  (Ctrl-C ends it)")
        app = make_app(session, token)
        # Its own log would hold the token.
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
