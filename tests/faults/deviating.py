"""Peers that deviate as a scenario says: a proxy stands beside a conforming one, and changes what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from random import Random, choice
from typing import Any
from unittest.mock import patch

import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.proxy import Address, Proxy, Route
from iscsiproxy.runs.driving import Context
from iscsiproxy.runs.embedded import EmbeddedDriver

__all__ = ["driving_through", "free_port", "standing_before"]

_HERE = "127.0.0.1"
_PORTS = range(20000, 32000)


@asynccontextmanager
async def standing_before(address: Address, rules: str) -> AsyncIterator[Address]:
    """Give the address of a proxy with these rules (all of a scenario but its name) in front of another address."""
    scenario = load(f"scenario: deviation\n{rules}", file="deviation", acts=SPECS)
    proxy = Proxy([Route(Address(_HERE, 0), address)], scenarios=[scenario], rng=Random(7))
    async with trio.open_nursery() as nursery:
        (route,) = await nursery.start(proxy.run)
        yield route.listen
        nursery.cancel_scope.cancel()


@contextmanager
def driving_through(portal: Address) -> Iterator[None]:
    """Let the embedded initiator of a run connect to another portal than that of the run's proxy."""

    def driver(context: Context, *args: Any, **more: Any) -> EmbeddedDriver:
        return EmbeddedDriver(replace(context, portal=portal), *args, **more)

    with patch("iscsiproxy.runs.scenario.EmbeddedDriver", driver):
        yield


async def free_port() -> Address:
    """Give an address where nobody listens; none of the ports that connections are given, and those who ask for any."""
    while True:
        port = choice(_PORTS)
        with suppress(OSError), trio.socket.socket() as free:
            await free.bind((_HERE, port))
            return Address(_HERE, port)
