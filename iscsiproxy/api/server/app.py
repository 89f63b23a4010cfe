"""The API as an ASGI application: its routes are made from the list of operations.

Each request is taken whole, let in, read, and put to the control; what the control answers, or refuses, goes back as
JSON. What goes wrong in the control is told to it and to the client, and costs nobody else anything.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Iterable, Mapping, MutableMapping
from ipaddress import ip_address
from typing import Any, Protocol, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from iscsiproxy.api.models import EventQuery, Problem
from iscsiproxy.api.operations import OPERATIONS, Operation
from iscsiproxy.api.server.asked import MOST_BYTES, read_arguments, read_body, read_query
from iscsiproxy.api.server.following import Gone, Message, Receive, Send, Stream, follow, while_there
from iscsiproxy.api.server.openapi import make_openapi
from iscsiproxy.api.server.refusal import Refusal

__all__ = ["Controls", "make_app"]

Scope: TypeAlias = MutableMapping[str, Any]

_JSON = "application/json"
_BODY = "iscsiproxy.body"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="iscsiproxy"'}


class Controls(Protocol):
    """What the application needs to know of the control; each operation is a method of it as well."""

    def events(self, query: EventQuery) -> Stream:
        """Open a stream of events. Raises Refusal."""

    def called(self) -> None:
        """Take note that somebody asks for something."""

    def crashed(self, error: Exception) -> None:
        """Take note of an error of ours: the run proves nothing any more."""


def make_app(control: Controls, *, token: str | None) -> Starlette:
    """Make the application for a control.

    With a token every request must show it, and must name a loopback host: no page in a browser can be made to come
    here under another name (DNS rebinding).
    """
    document = _answer(make_openapi(secured=token is not None), 200)
    routes = [Route(one.path, _Resource(control, one), methods=[one.method]) for one in OPERATIONS]
    routes += [
        Route("/v1/openapi.json", _Page(document), methods=["GET"]),
        Route("/", _Page(_answer({"openapi": "/v1/openapi.json"}, 200)), methods=["GET"]),
    ]
    for route in routes:
        # Starlette adds HEAD to GET; what answers it would have to be asked of the control for nothing.
        route.methods = (route.methods or set()) - {"HEAD"}
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_Gate, token=token)],
        exception_handlers={404: _not_found, 405: _wrong_method},
    )
    app.router.redirect_slashes = False
    return app


# --- at the door ---------------------------------------------------------------------------------------------------


class _Gate:
    """Takes each request whole, and lets in who may come in."""

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = token

    def __repr__(self) -> str:
        return f"<_Gate {'open' if self._token is None else 'with a token'}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        body = bytearray()
        # What a client has to say is always heard to its end: it could not hear our answer while it still speaks.
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if len(body) <= MOST_BYTES:
                body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        scope[_BODY] = bytes(body)
        refused = None if self._token is None else _turned_away(scope["headers"], self._token)
        if refused is None and len(body) > MOST_BYTES:
            refused = _problem(Refusal(413, f"the body is too large: at most {MOST_BYTES} bytes are read"))
        await (refused or self._app)(scope, receive, send)


def _turned_away(headers: Iterable[tuple[bytes, bytes]], token: str) -> Response | None:
    """Say why a request is not let in; None: it is."""
    given = {name.lower(): value for name, value in headers}
    host = given.get(b"host", b"").decode("latin-1")
    if not _names_loopback(host):
        return _problem(
            Refusal(400, f"the header Host: expected 127.0.0.1, localhost or [::1], got {host[:80]!r}"),
        )
    scheme, _, shown = given.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":
        why = "this API wants a token: Authorization: Bearer TOKEN"
    elif not secrets.compare_digest(shown.strip(), token.encode()):
        why = "the token is not the one of this proxy"
    else:
        return None
    return _problem(Refusal(401, why, error="unauthorized"), _CHALLENGE)


def _names_loopback(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


# --- what is asked -------------------------------------------------------------------------------------------------


class _Resource:
    """One operation, at its path."""

    def __init__(self, control: Controls, operation: Operation[Any]) -> None:
        self._control = control
        self._operation = operation

    def __repr__(self) -> str:
        return f"<_Resource {self._operation.name}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            answer = await self._done(scope, receive)
            if self._operation.stream:
                await follow(answer, receive, noting)
                return
            response = _answer(answer, self._operation.status)
        except Gone:
            return
        except Refusal as refusal:
            response = _problem(refusal)
        except Exception as error:  # noqa: BLE001 - told to the control, and to the client
            # Our own fault must cost this request only; the run is no pass.
            self._control.crashed(error)
            response = _problem(
                Refusal(500, f"an error of the proxy itself: {type(error).__name__}: {error}", error="internal")
            )
        # An answer that has begun cannot be taken back; that it breaks off tells the client.
        if not begun:
            await response(scope, receive, send)

    async def _done(self, scope: Scope, receive: Receive) -> Any:
        operation = self._operation
        given = [*read_arguments(operation, scope["path_params"])]
        query = read_query(operation, scope["query_string"])
        body = read_body(operation, scope[_BODY])
        given += [one for one in (query, body) if one is not None]
        self._control.called()
        answer = getattr(self._control, operation.name)(*given)
        return await while_there(answer, receive) if inspect.isawaitable(answer) else answer


class _Page:
    """What is only looked at."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __repr__(self) -> str:
        return f"<_Page of {len(self._response.body)} bytes>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope, receive, send)


# --- what is answered ----------------------------------------------------------------------------------------------


def _answer(answer: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(answer), status, headers, _JSON)


def _problem(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    return _answer(refusal.problem, refusal.status, headers)


async def _not_found(request: Request, _: Exception) -> Response:
    path = request.scope["path"]
    return _problem(Refusal(404, f"there is no {path[:200]!r}", hint="/v1/openapi.json lists what there is"))


async def _wrong_method(request: Request, _: Exception) -> Response:
    """Say which methods there are, at all the routes that lead to the path."""
    there = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
    allow = ", ".join(sorted({method for route in there for method in route.methods}))
    message = f"{request.method} {request.scope['path'][:200]}: there is only {allow}"
    return _answer(Problem(error="bad_request", message=message), 405, {"Allow": allow})
