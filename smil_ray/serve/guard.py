"""Who may ask: pages of this server only, and where it is not local, who knows the token."""

import hmac
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "smil_ray_token"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Refuses requests before the application sees them.

    Args:
        app: The application.
        token: What requests must bring as `?token=`, `Authorization: Bearer`, or as the cookie
            that an answer to either sets. None: requests must name this machine as their host,
            so that no other name can be made to lead here.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = self._refusal(scope, headers)
        if reason is not None:
            await JSONResponse({"error": reason[1]}, reason[0])(scope, receive, send)
            return
        cookie = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and self._token is not None:
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await send(message)

        await self._app(scope, receive, with_cookie)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Requests of other pages are not answered."
        if self._token is None:
            is_local = host.rpartition(":")[0] in LOCAL_HOSTS or host in LOCAL_HOSTS
            return None if is_local else (403, "Ask for 127.0.0.1, or give --host for a token.")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        given = [
            *query.get("token", []),
            headers.get("authorization", "").removeprefix("Bearer "),
            "" if cookie is None else cookie.value,
        ]
        known = self._token.encode()
        if any([hmac.compare_digest(text.encode(), known) for text in given]):
            return None
        return 401, "A token is needed: the server printed an address that holds it."
