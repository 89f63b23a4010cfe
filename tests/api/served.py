"""A control behind the real server, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.server.app import Controls
from iscsiproxy.api.server.serving import serve_api

__all__ = ["LOOPBACK", "serving"]

#: Any free port
LOOPBACK = ApiAddress(host="127.0.0.1")


@asynccontextmanager
async def serving(control: Controls, address: ApiAddress = LOOPBACK) -> AsyncIterator[ApiAddress]:
    """Serve it until the end of the block; gives the address as it is bound."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_api, control, address)
        nursery.cancel_scope.cancel()
