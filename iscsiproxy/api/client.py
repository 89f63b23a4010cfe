"""Clients of the control API, typed: one for plain programs, one for asyncio and trio.

    with Client() as proxy:  # the one that runs here, or its address
        proxy.arm(line="drop Data-Out nth 2")
        with proxy.events(pdus=True) as events:
            for event in events:
                print(event.text)

Each operation is a method of both clients (`calls.Operations`). What stands in a path comes first, everything else is
given by name: `proxy.kill(3, how="fin")`. What the proxy refuses raises `ApiError`, that it does not answer
`Unreachable`. A client may be used until it is closed, by one thread or task at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import httpcore
import httpx

from iscsiproxy.api import operations
from iscsiproxy.api.address import ApiAddress, check_private, default_directory, is_answered, parse_api_address
from iscsiproxy.api.answers import ApiError, Unreachable, checked, decoded, reaching
from iscsiproxy.api.calls import Awaiting, Call, Waiting
from iscsiproxy.api.events import AsyncEvents, Events
from iscsiproxy.api.models import EventQuery
from iscsiproxy.errors import UsageError

__all__ = [
    "ApiAddress",
    "ApiError",
    "AsyncClient",
    "AsyncEvents",
    "Client",
    "Events",
    "Unreachable",
    "find",
    "parse_api_address",
]

A = TypeVar("A")
C = TypeVar("C")
E = TypeVar("E")
P = ParamSpec("P")

#: How long an answer is waited for, in seconds
_TIMEOUT: Final = 30.0
#: How long a stream of events may say nothing: the server sends an empty line each 15 seconds.
_SILENCE: Final = 45.0


def find(directory: Path | None = None) -> tuple[ApiAddress, ...]:
    """Find the proxies of this user that run on this machine and were given no other address, in the order of names.

    Raises UsageError if others could have put sockets where they are looked for.
    """
    directory = directory or default_directory()
    try:
        check_private(directory)
    except FileNotFoundError:
        return ()
    return tuple(ApiAddress(path=path) for path in sorted(directory.glob("*.sock")) if is_answered(path))


def _resolved(address: str | Path | ApiAddress | None, token: str | None, *, known: bool) -> ApiAddress:
    match address:
        case ApiAddress():
            return address
        case Path():
            return ApiAddress(path=address)
        case str():
            return parse_api_address(address, token=token)
    if known:
        return ApiAddress(host="127.0.0.1", port=80, token=token)
    match find():
        case [only]:
            return only
        case []:
            raise Unreachable("no proxy with an API runs here; say where it is, or start one: `iscsiproxy run --help`")
        case several:
            raise UsageError(f"several proxies run here; say which: {', '.join(map(str, several))}")


# --- what both have in common --------------------------------------------------------------------------------------


def _settings(address: ApiAddress) -> dict[str, Any]:
    """Give the settings of an httpx client; those of the environment (proxies) are not for loopback."""
    headers = {} if address.token is None else {"Authorization": f"Bearer {address.token}"}
    url = "http://localhost" if address.path is not None else str(address)
    return {"base_url": url, "headers": headers, "trust_env": False}


def _request(
    client: httpx.Client | httpx.AsyncClient, call: Call[Any], timeout: float, *, silence: float | None = None
) -> httpx.Request:
    return client.build_request(
        call.operation.method,
        call.path,
        params=call.query,
        content=call.body,
        headers={} if call.body is None else {"Content-Type": "application/json"},
        timeout=httpx.Timeout(timeout, read=silence or timeout + call.patience),
    )


def _opens(follow: Callable[[C, EventQuery], E], query: Callable[P, EventQuery]) -> Callable[Concatenate[C, P], E]:
    """Make the method that follows events: it takes the members of the query, by name."""

    def events(client: C, /, *args: P.args, **kwargs: P.kwargs) -> E:
        return follow(client, query(*args, **kwargs))

    events.__doc__ = follow.__doc__
    return events


# --- for plain programs --------------------------------------------------------------------------------------------


class _UnixBackend(httpcore.SyncBackend):
    """Connects to Unix sockets that are answered: of others httpcore would leave a socket open."""

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        if not is_answered(Path(path)):
            raise httpcore.ConnectError("nobody listens there")
        return super().connect_unix_socket(path, timeout, socket_options)


class _UnixTransport(httpx.HTTPTransport):
    def __init__(self, path: Path) -> None:
        super().__init__(uds=str(path))
        self._pool = httpcore.ConnectionPool(uds=str(path), network_backend=_UnixBackend())


class Client(Waiting):
    """A client for plain programs.

    `address` is the path of a socket, `unix:PATH`, `HOST:PORT` or a URL; without one it is the only proxy that runs
    here. A token that is not given is taken from `ISCSIPROXY_TOKEN`. Raises UsageError or Unreachable if there is no
    telling where to; what is there is only seen when something is asked.
    """

    def __init__(
        self,
        address: str | Path | ApiAddress | None = None,
        *,
        token: str | None = None,
        timeout: float = _TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = _resolved(address, token, known=transport is not None)
        self._timeout = timeout
        if transport is None and self.address.path is not None:
            transport = _UnixTransport(self.address.path)
        self._http = httpx.Client(transport=transport, **_settings(self.address))

    def __repr__(self) -> str:
        return f"<Client of {self.address}{', closed' if self._http.is_closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def ask(self, call: Call[A]) -> A:
        """Do a call, and give its answer. Raises ApiError, Unreachable."""
        with reaching(self.address):
            response = self._http.send(_request(self._http, call, self._timeout))
        checked(response, self.address)
        answer: A = decoded(response.content, call.operation.answer, self.address)
        return answer

    def follow(self, query: EventQuery) -> Events:
        """Listen to events, from now on or from an earlier one. Raises ApiError, Unreachable."""
        call = Call(operation=operations.EVENTS, sent=query)
        with reaching(self.address):
            request = _request(self._http, call, self._timeout, silence=_SILENCE)
            response = self._http.send(request, stream=True)
            if not response.is_success:
                response.read()
        checked(response, self.address)
        return Events(response, self.address)

    events = _opens(follow, EventQuery)


# --- for asyncio and trio ------------------------------------------------------------------------------------------


class AsyncClient(Awaiting):
    """The same for asyncio and trio; its methods are awaited, but for `events`."""

    def __init__(
        self,
        address: str | Path | ApiAddress | None = None,
        *,
        token: str | None = None,
        timeout: float = _TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = _resolved(address, token, known=transport is not None)
        self._timeout = timeout
        if transport is None and self.address.path is not None:
            transport = httpx.AsyncHTTPTransport(uds=str(self.address.path))
        self._http = httpx.AsyncClient(transport=transport, **_settings(self.address))

    def __repr__(self) -> str:
        return f"<AsyncClient of {self.address}{', closed' if self._http.is_closed else ''}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def ask(self, call: Call[A]) -> A:
        """Do a call, and give its answer. Raises ApiError, Unreachable."""
        with reaching(self.address):
            response = await self._http.send(_request(self._http, call, self._timeout))
        checked(response, self.address)
        answer: A = decoded(response.content, call.operation.answer, self.address)
        return answer

    def follow(self, query: EventQuery) -> AsyncEvents:
        """Listen to events, from now on or from an earlier one."""
        call = Call(operation=operations.EVENTS, sent=query)

        async def opened() -> httpx.Response:
            with reaching(self.address):
                response = await self._http.send(
                    _request(self._http, call, self._timeout, silence=_SILENCE), stream=True
                )
                if not response.is_success:
                    await response.aread()
            checked(response, self.address)
            return response

        return AsyncEvents(opened, self.address)

    events = _opens(follow, EventQuery)
