"""The embedded target as its users start it: `iscsiproxy target` in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real.address import Address, Chap
from tests.real.served import Served, serving

__all__ = ["Embedded", "running_target"]


@dataclass(slots=True)
class Embedded(Served):
    """A running target; with `-v` it tells of connections. `chap` is the account that initiators need."""

    chap: Chap | None = None

    @property
    def iqn(self) -> str:
        """Its name."""
        return str(self.ready["iqn"])

    @property
    def at(self) -> Address:
        """Its first LUN, with the right account."""
        return self.address()

    def address(
        self, *, host: str | None = None, port: int | None = None, lun: int | None = None, chap: Chap | None = None
    ) -> Address:
        """Return the address of a LUN.

        With the host and port of a proxy it leads through the proxy; with an account it logs in with that one.
        """
        return Address(
            host=self.host if host is None else host,
            port=self.port if port is None else port,
            iqn=self.iqn,
            lun=min(map(int, self.ready["luns"])) if lun is None else lun,
            chap=chap or self.chap,
        )


@asynccontextmanager
async def running_target(
    *options: str,
    listen: str = "127.0.0.1:0",
    chap: Chap | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> AsyncIterator[Embedded]:
    """Start the target; at the end of the block it is ended by SIGTERM, and must end well and have met no error.

    With `chap` initiators need that account. What it prints to stderr goes to `log`, or to ours.
    """
    account = ("--chap", f"{chap.user}:{chap.password}") if chap else ()
    async with serving(Embedded, "target", "--listen", listen, *account, *options, log=log, env=env) as target:
        target.chap = chap
        yield target
