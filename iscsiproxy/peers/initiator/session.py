"""A session with a target, as a program uses it: log in, give commands, log out.

    async with open_session(("127.0.0.1", 3260), settings) as session:
        outcome = await session.command(0, commands.read10(0, 8), read_length=4096)

Beside the well-behaved ways there is raw access: `send_raw` puts any PDU on the wire, `claim` takes the answers to a
task tag out of the session's hands, and `tap` shows everything that comes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from iscsiproxy.errors import FramingError
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import (
    CommandAborted,
    CommandFailed,
    CommandRejected,
    CommandTimeout,
    ConnectionLost,
    LoginFailed,
    ProtocolError,
    Redirected,
)
from iscsiproxy.peers.initiator.login import Established, LoginExchange
from iscsiproxy.peers.initiator.requests import LogoutOutcome, Session, TargetRecord
from iscsiproxy.peers.initiator.running import Running
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.initiator.url import split_address
from iscsiproxy.peers.initiator.waiting import flat_nursery
from iscsiproxy.peers.stream import PduStream

__all__ = [
    "CommandAborted",
    "CommandFailed",
    "CommandRejected",
    "CommandTimeout",
    "ConnectionLost",
    "Connector",
    "LoginFailed",
    "LogoutOutcome",
    "Outcome",
    "ProtocolError",
    "Redirected",
    "Running",
    "Session",
    "TargetRecord",
    "discover",
    "log_in",
    "open_session",
]

#: Where the target is: host and port, or something that gives a stream to it.
Connector = tuple[str, int] | Callable[[], Awaitable[trio.abc.Stream]]


async def _connect(connect: Connector) -> trio.abc.Stream:
    try:
        if isinstance(connect, tuple):
            return await trio.open_tcp_stream(*connect)
        return await connect()
    except OSError as error:
        where = f" to {connect[0]} port {connect[1]}" if isinstance(connect, tuple) else ""
        raise ConnectionLost(f"no connection{where}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Say why there is no connection: trio tries every address, and groups what each of them answered."""
    while (cause := error.__cause__) is not None:
        error = cause
    if isinstance(error, BaseExceptionGroup):
        return _reason(error.exceptions[-1])
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)  # without the address that trio puts before it
    return getattr(error, "strerror", None) or str(error)


async def _exchange(stream: PduStream, settings: InitiatorSettings, conduct: Conduct) -> Established:
    exchange = LoginExchange(settings, conduct)
    try:
        while (request := exchange.next_request()) is not None:
            await stream.send([request])
            response = await stream.receive()
            if response is None:
                raise ConnectionLost("the target closed the connection during login")
            exchange.receive(response)
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
        raise ConnectionLost("the connection broke during login") from error
    except FramingError as error:
        raise ProtocolError(str(error), section="RFC 7143 7.7") from error
    return exchange.established()


async def log_in(connect: Connector, settings: InitiatorSettings, *, conduct: Conduct | None = None) -> Session:
    """Connect and log in, following redirections; the caller runs the session (`run`) and so owns the connection.

    Raises LoginFailed for a refusal, ConnectionLost and ProtocolError for anything else. A redirection by a connector
    that is no address raises Redirected, as does one too many.
    """
    conduct = conduct or Conduct()
    followed = 0
    while True:
        stream = None
        try:
            with trio.move_on_after(settings.login_timeout):
                stream = PduStream(await _connect(connect))
                established = await _exchange(stream, settings, conduct)
                session = Session(established, stream, settings, conduct)
                stream = None
                return session
            raise ConnectionLost(f"no login in {settings.login_timeout} seconds")
        except Redirected as error:
            if not isinstance(connect, tuple) or followed >= settings.redirections or not error.addresses:
                raise
            connect = split_address(error.addresses[0])
            followed += 1
        finally:
            if stream is not None:
                with trio.CancelScope(shield=True):
                    await stream.aclose()


@asynccontextmanager
async def open_session(
    connect: Connector, settings: InitiatorSettings, *, conduct: Conduct | None = None
) -> AsyncIterator[Session]:
    """Log in, and log out at the end of the block unless the session is over or the block failed.

    The connection is closed in any case. Raises as `log_in` does; what the block raises comes through as it is.
    """
    session = await log_in(connect, settings, conduct=conduct)
    async with flat_nursery() as nursery:
        await nursery.start(session.run)
        yield session
        if session.failure is None:
            with trio.move_on_after(settings.logout_timeout):
                await _farewell(session)


async def _farewell(session: Session) -> None:
    try:
        await session.logout()
    except (ConnectionLost, CommandFailed):
        # The session was as good as over.
        return


async def discover(
    connect: Connector, settings: InitiatorSettings, *, conduct: Conduct | None = None
) -> tuple[TargetRecord, ...]:
    """Hold a discovery session: which targets are there? (RFC 7143 4.3)."""
    async with open_session(connect, settings.changed(target=None), conduct=conduct) as session:
        return await session.send_targets()
