"""A limit on what `mlflow models serve` takes into memory, which it lacks (MLflow 3.17).

MLflow's server reads a whole request before a model sees it, however long it is, and has neither a
setting nor a hook for that. What a model can do is this: it is loaded while the server's module is
imported, before the server takes the application from that module, so it decides what is taken.
"""

import asyncio
import json
import logging
import os
import sys
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from smil_ray.errors import SmilRayError
from smil_ray.serve.refusals import RefusedError, check_announced, let_finish, too_large

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

VARIABLE = "SMIL_RAY_MAX_REQUEST_MIB"
DEFAULT_MIB = 24.0
"""Some five photographs of a telephone in base64. Parsing takes some nine times as much memory."""
_REMEDY = f"send fewer pictures at once, or set {VARIABLE} of the server"
_SERVER = "mlflow.pyfunc.scoring_server.app"
_log = logging.getLogger("uvicorn.error")
"""What the server prints."""


class RequestLimit:
    """Reads requests for an application, and answers those that are too long or too slow itself.

    Args:
        app: The application; it gets the body of a request in one piece.
        most: Bytes of a body.
        seconds: How long a body may take to come.
    """

    def __init__(self, app: "ASGIApp", most: int, seconds: float) -> None:
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request with status 413 or 408, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._read(scope, receive), self._seconds)
        except RefusedError as error:
            await let_finish(receive)
            await _answer(send, 413, error)
        except asyncio.TimeoutError:
            found = f"a part of it after {self._seconds:g} s (`--timeout`)"
            error = SmilRayError("the request", expected="all of it", found=found)
            await _answer(send, 408, error)
        else:
            if body is None:
                return
            rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

            async def read_again() -> "Message":
                return rest.pop() if rest else await receive()

            await self._app(scope, read_again, send)

    async def _read(self, scope: "Scope", receive: "Receive") -> bytes | None:
        """Return a body, or None if who sent it has left."""
        announced = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        check_announced(announced, self._most, "the request", _REMEDY)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._most:
                raise too_large("the request", self._most, "more", _REMEDY)
            if not message.get("more_body", False):
                return bytes(body)


class _LimitedServer(ModuleType):
    """MLflow's module of the server, whose application is behind a limit for who takes it."""

    @property
    def app(self) -> RequestLimit:
        """What the server runs: it takes it by this name once the module has made it."""
        return self.__dict__["limited"](self.__dict__["app"])


def limit_scoring_server(seconds: float) -> None:
    """Limit the requests of MLflow's server if it is what loads a model just now.

    Elsewhere, as in `mlflow.pyfunc.load_model`, nothing happens.

    Args:
        seconds: How long a request may take to come.

    Raises:
        SmilRayError: `SMIL_RAY_MAX_REQUEST_MIB` is no size.
    """
    server = sys.modules.get(_SERVER)
    if server is None:
        return
    most = _most_bytes()
    # The application does not exist yet: the module makes it of the model that is loaded here.
    server.__class__ = _LimitedServer
    server.__dict__["limited"] = partial(RequestLimit, most=most, seconds=seconds)
    _log.info("requests of at most %g MiB are read (%s)", most / 2**20, VARIABLE)


def _most_bytes() -> int:
    text = os.environ.get(VARIABLE, str(DEFAULT_MIB))
    try:
        mib = float(text)
    except ValueError:
        mib = float("nan")
    if not 0 < mib < float("inf"):
        raise SmilRayError(VARIABLE, expected="a positive number of MiB", found=text)
    return int(mib * 2**20)


async def _answer(send: "Send", status: int, error: SmilRayError) -> None:
    """Answer as MLflow's server does when it refuses something."""
    found = {"error_code": "INVALID_PARAMETER_VALUE", "message": str(error)}
    body = json.dumps(found).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
