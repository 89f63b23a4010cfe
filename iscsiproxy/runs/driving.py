"""The initiator at work: clean I/O before the fault, traffic while it lasts, good I/O behind it.

A `Driver` does this for one run; each kind of initiator has its own. It judges nothing but its own I/O: what the wire
says is in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import trio

from iscsiproxy.errors import PeerError
from iscsiproxy.proxy import Address
from iscsiproxy.runs.initiators import InitiatorSpec, filled, run_command
from iscsiproxy.runs.targets import Target

__all__ = ["Behind", "CommandDriver", "Context", "Driver", "ExternalDriver", "Tell"]

#: Tells the journal what the application saw: `good`, `error` or `mismatch`, and the story.
Tell = Callable[[Literal["good", "error", "mismatch"], str], None]
#: How soon a command that has ended is run again, in seconds
_PAUSE = 0.05
#: How long a command has to end when the fault is over, in seconds: what is killed loses its session, and logs in anew
#: as somebody else
_GRACE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a driver works with. `patience` is how long good I/O may take to come behind the fault, in seconds."""

    portal: Address
    target: Target
    initiator: InitiatorSpec
    seed: int
    patience: float
    tell: Tell
    say: Callable[[str], None]  #: a line for the user
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What the I/O behind the fault came to; `good` is None where nothing was done that could tell.

    `since` is the event from which on its good status is looked for; None: since the fault was cleared.
    """

    good: bool | None
    text: str
    since: int | None = None


class Driver(Protocol):
    """What a run asks of its initiator, in this order; each is cancelled when it takes too long."""

    async def steady(self) -> str:
        """Do clean I/O over a session that is gone afterwards; say what was done. Raises PeerError if it is not."""

    async def fault(self, over: trio.Event) -> None:
        """Keep traffic going until `over`; then end what is in flight, but keep the session if there is one."""

    async def behind(self, *, anew: bool) -> Behind:
        """Do good I/O, over a new login if `anew`; nothing is armed any more."""

    async def close(self) -> None:
        """Log out, if there is anybody to."""


class CommandDriver:
    """Runs the user's command: once before the fault, again and again while it lasts, once behind it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        target = context.target
        self._argv = filled(
            context.initiator.argv,
            portal=context.portal,
            name=target.name,
            lun=target.lun,
            credentials=target.spec.credentials,
        )

    def __repr__(self) -> str:
        return f"<CommandDriver {self._context.initiator.shown!r}>"

    async def _once(self) -> tuple[bool, str]:
        context = self._context
        portal = context.portal
        environment = {
            **context.environment,
            "ISCSIPROXY_PORTAL": str(portal),
            "ISCSIPROXY_HOST": portal.host,
            "ISCSIPROXY_PORT": str(portal.port),
        }
        secret = context.target.spec.credentials.partition("%")[2]
        ended = await run_command(self._argv, environment=environment, secret=secret)
        return ended.status == 0, ended.text

    async def steady(self) -> str:
        """Run it once; its status has to be 0."""
        good, text = await self._once()
        if not good:
            raise PeerError(f"the initiator's command failed with nothing armed: {text}")
        return "the initiator's command ended with status 0"

    async def fault(self, over: trio.Event) -> None:
        """Run it again and again until `over`, which ends it if it does not end by itself."""
        async with trio.open_nursery() as nursery:

            async def again() -> None:
                while not over.is_set():
                    good, text = await self._once()
                    self._context.tell("good" if good else "error", text)
                    await trio.sleep(_PAUSE)
                nursery.cancel_scope.cancel()

            nursery.start_soon(again)
            await over.wait()
            await trio.sleep(_GRACE)
            nursery.cancel_scope.cancel()

    async def behind(self, *, anew: bool) -> Behind:
        """Run it once more."""
        good, text = await self._once()
        return Behind(good=good, text=f"the initiator's command, run once more, ended with {text}")

    async def close(self) -> None:
        """Do nothing: it has ended."""


class ExternalDriver:
    """Waits for an initiator that somebody else sees to. `good` is set each time when the target says GOOD."""

    def __init__(self, context: Context, good: Callable[[], trio.Event], hang_up: Callable[[], None]) -> None:
        self._context = context
        self._good = good
        self._hang_up = hang_up

    def __repr__(self) -> str:
        return f"<ExternalDriver at {self._context.portal}>"

    async def steady(self) -> str:
        """Wait for good I/O, then hang up: the initiator is to log in anew, with everything armed."""
        self._context.say(f"waiting for an initiator at {self._context.portal}")
        await self._good().wait()
        self._hang_up()
        return "an initiator came and did good I/O"

    async def fault(self, over: trio.Event) -> None:
        """Leave it to whoever sees to the initiator."""
        await over.wait()

    async def behind(self, *, anew: bool) -> Behind:
        """Wait for good I/O."""
        if anew:
            self._hang_up()
        with trio.move_on_after(self._context.patience):
            await self._good().wait()
            return Behind(good=True, text="the initiator did good I/O")
        return Behind(good=False, text=f"no good I/O in {self._context.patience:g} s")

    async def close(self) -> None:
        """Do nothing: it is not ours."""
