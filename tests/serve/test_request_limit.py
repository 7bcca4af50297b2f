"""The limit before MLflow's server: what is handed on, and what is answered instead."""

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smil_ray.errors import SmilRayError
from smil_ray.serve.request_limit import VARIABLE, RequestLimit, limit_scoring_server

SERVER = "mlflow.pyfunc.scoring_server.app"


async def echo(request: Request) -> Response:
    return Response(await request.body())


def application() -> Starlette:
    return Starlette(routes=[Route("/", echo, methods=["POST"])])


def ask(
    app: Callable[..., Any], messages: list[dict[str, Any]], length: str | None = None
) -> tuple[int | None, bytes]:
    """Return status (None: no answer) and body; after the messages the client stays silent."""
    sent: list[dict[str, Any]] = []
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(3600)
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"content-length", length.encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": headers,
        "query_string": b"",
    }
    asyncio.run(app(scope, receive, send))
    if not sent:
        return None, b""
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def part(data: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def limited(most: int = 10, seconds: float = 60.0) -> RequestLimit:
    return RequestLimit(application(), most, seconds)


def test_body_within_the_limit_is_handed_on() -> None:
    parts = [part(b"01234", True), part(b"56789", False)]
    assert ask(limited(), parts, "10") == (200, b"0123456789")
    assert ask(limited(), parts) == (200, b"0123456789")


@pytest.mark.parametrize(
    ("messages", "length"),
    [
        ([], "11"),
        ([part(b"01234", True), part(b"567890", True)], None),
        ([part(b"01234", True), part(b"567890", False)], "10"),
    ],
)
def test_longer_body_is_refused_before_the_application_sees_it(
    messages: list[dict[str, Any]], length: str | None
) -> None:
    status, body = ask(limited(), messages, length)
    assert status == 413
    assert "at most" in json.loads(body)["message"]
    assert VARIABLE in json.loads(body)["message"]


def test_body_that_does_not_end_is_refused() -> None:
    status, body = ask(limited(seconds=0.05), [part(b"0", True)], "10")
    assert status == 408
    assert "0.05 s" in json.loads(body)["message"]


def test_client_that_left_gets_no_answer() -> None:
    assert ask(limited(), [part(b"0", True), {"type": "http.disconnect"}]) == (None, b"")


def test_scoring_server_gets_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ModuleType(SERVER)
    monkeypatch.setitem(sys.modules, SERVER, server)
    monkeypatch.setenv(VARIABLE, "0.00001")  # 10 bytes.
    # As MLflow's module does: its application is there when the model has been loaded.
    limit_scoring_server(60.0)
    vars(server)["app"] = application()
    app = importlib.import_module(SERVER).app
    assert ask(app, [], "11")[0] == 413
    assert ask(app, [part(b"0123456789", False)], "10") == (200, b"0123456789")


@pytest.mark.parametrize("text", ["a", "0", "-1", "inf", "nan"])
def test_bad_size_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, SERVER, ModuleType(SERVER))
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(SmilRayError, match=VARIABLE):
        limit_scoring_server(60.0)


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, SERVER, raising=False)
    monkeypatch.setenv(VARIABLE, "no size")  # Would be refused if it were read.
    before = dict(sys.modules)
    limit_scoring_server(60.0)
    assert sys.modules == before
