"""Session recovery: a session that comes back when it is lost (RFC 7143 7.5, 7.12, 6.3.5).

    async with recovering_session(("127.0.0.1", 3260), settings) as keeper:
        outcome = await keeper.command(0, commands.read10(0, 8), read_length=4096)

After Time2Wait the same initiator port logs in again, which reinstates the session, and a command that was not answered
is given once more if the caller says that this does no harm. How long it took, from the loss to the first good command,
is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile

import trio

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import CommandFailed, ConnectionLost, LoginFailed
from iscsiproxy.peers.initiator.requests import Session
from iscsiproxy.peers.initiator.session import Connector, log_in
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.initiator.waiting import flat_nursery
from iscsiproxy.peers.scsi.command import Attribute
from iscsiproxy.wire.values import parse_number

__all__ = ["RecoveringSession", "Recovery", "RecoveryPolicy", "recovering_session"]

#: Before a login that failed is tried again, where Time2Wait is 0: long enough not to be a flood. It is doubled, up to
#: the longest, each time a session was lost again before a command went well.
_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPolicy:
    """When to stop coming back: after so many losses, or when one recovery takes too long (seconds)."""

    most: int | None = None
    deadline: float = 60.0


@dataclass(slots=True, kw_only=True)
class Recovery:
    """One loss and what became of it; times on trio's clock, in seconds. What has not happened is None."""

    reason: ConnectionLost
    lost: float
    attempts: int = 0
    logged_in: float | None = None
    first_good: float | None = None

    @property
    def duration(self) -> float | None:
        """How long nothing went well: from the loss to the first good command."""
        return None if self.first_good is None else self.first_good - self.lost


class RecoveringSession:
    """Keeps a session to one target. Made by `recovering_session`, which owns it."""

    def __init__(
        self,
        connect: Connector,
        settings: InitiatorSettings,
        *,
        policy: RecoveryPolicy | None = None,
        conduct: Conduct | None = None,
    ) -> None:
        self.settings = settings
        self.recoveries: list[Recovery] = []
        #: Why there will be no session any more, or None.
        self.failure: ConnectionLost | None = None
        self._connect = connect
        self._policy = policy or RecoveryPolicy()
        self._conduct = conduct or Conduct()
        self._session: Session | None = None
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return (
            f"<RecoveringSession {self._session or self.failure or 'coming back'}, {len(self.recoveries)} recoveries>"
        )

    @property
    def time2wait(self) -> float:
        """How long a login has to wait once the session has ended, in seconds (RFC 7143 7.5, 13.15)."""
        if self._session is None:
            return 0.0
        return self._conduct.reconnect_after(self._session.parameters.time2wait, told=False)

    async def session(self) -> Session:
        """Wait until there is a session, and give it. Raises ConnectionLost when it will not come back."""
        while self.failure is None:
            if self._session is not None and self._session.failure is None:
                return self._session
            await self._changed.wait()
        raise self.failure.again()

    async def command(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: int = Attribute.SIMPLE,
        repeatable: bool = True,
    ) -> Outcome:
        """Give a command as `Session.command` does; one that is `repeatable` is given again after a recovery.

        A unit attention after a recovery is an answer, and the caller's to deal with. Raises ConnectionLost for a
        command that may not be repeated and was not answered, and when the session will not come back.
        """
        while True:
            session = await self.session()
            try:
                outcome = await session.command(
                    lun, cdb, data_out=data_out, read_length=read_length, attribute=attribute
                )
            except ConnectionLost:
                if not repeatable:
                    raise
                await trio.lowlevel.checkpoint()
                continue
            if outcome.good:
                self.note_good()
            return outcome

    def note_good(self) -> None:
        """Take note that a command went well: a recovery before it is complete."""
        if self.recoveries and self.recoveries[-1].first_good is None:
            self.recoveries[-1].first_good = trio.current_time()

    async def keep(self, session: Session) -> None:
        """Run this session, and one after the other that replaces it, until cancelled or given up."""
        async with trio.open_nursery() as nursery:
            while True:
                await nursery.start(session.run)
                self._set(session)
                reason = await session.ended()
                if self.failure is not None:
                    return
                recovery = Recovery(reason=reason, lost=trio.current_time())
                if self._policy.most is not None and len(self.recoveries) >= self._policy.most:
                    self._give_up(reason)
                    return
                self.recoveries.append(recovery)
                try:
                    with trio.fail_after(self._policy.deadline):
                        session = await self._come_back(recovery, session)
                except trio.TooSlowError:
                    self._give_up(ConnectionLost(f"not back in {self._policy.deadline} seconds: {reason}"))
                    return
                except ConnectionLost as error:
                    self._give_up(error)
                    return

    async def _come_back(self, recovery: Recovery, lost: Session) -> Session:
        """Log in again, as often as it takes; an initiator's error is not tried again (RFC 7143 11.13.5)."""
        said = recovery.reason.time2wait
        time2wait = lost.parameters.time2wait if said is None else said
        wait = self._conduct.reconnect_after(time2wait, told=said is not None)
        last = self.recoveries[-2].logged_in if len(self.recoveries) > 1 else None
        if last is not None:
            wait = max(wait, last + self._conduct.reconnect_interval() - recovery.lost)
        wait = max(wait, self._penalty())
        settings = self.settings
        if (group := _portal_group(lost)) is not None:
            settings = settings.changed(portal_group=group)
        while True:
            await trio.sleep(wait)
            recovery.attempts += 1
            try:
                session = await log_in(self._connect, settings, conduct=self._conduct)
            except LoginFailed as error:
                if not error.temporary:
                    raise
            except ConnectionLost:
                # The target may not be up yet.
                pass
            else:
                recovery.logged_in = trio.current_time()
                return session
            wait = max(wait, _PAUSE)

    def _penalty(self) -> float:
        """Give how long to wait because sessions were lost again at once, in seconds."""
        fruitless = len(list(takewhile(lambda one: one.first_good is None, self.recoveries[-2::-1])))
        return min(_PAUSE * 2 ** min(fruitless, 10) / 2, _LONGEST_PAUSE) if fruitless else 0.0

    def _set(self, session: Session) -> None:
        self._session = session
        self._changed.set()
        self._changed = trio.Event()

    def _give_up(self, error: ConnectionLost) -> None:
        self.failure = error
        self._changed.set()

    async def log_out(self) -> None:
        """Log out, if there is a session."""
        self.failure = self.failure or ConnectionLost("the session was closed")
        if self._session is not None and self._session.failure is None:
            with trio.move_on_after(self.settings.logout_timeout):
                try:
                    await self._session.logout()
                except (ConnectionLost, CommandFailed):
                    return


def _portal_group(session: Session) -> int | None:
    """Give the portal group that the target has named: what was lost can be taken up in no other (RFC 7143 13.9)."""
    said = dict(session.login_keys).get("TargetPortalGroupTag")
    return None if said is None else parse_number(said)


@asynccontextmanager
async def recovering_session(
    connect: Connector,
    settings: InitiatorSettings,
    *,
    policy: RecoveryPolicy | None = None,
    conduct: Conduct | None = None,
) -> AsyncIterator[RecoveringSession]:
    """Log in and come back whenever the session is lost; log out at the end of the block.

    The first login is not tried again: it raises as `log_in` does. What the block raises comes through as it is.
    """
    keeper = RecoveringSession(connect, settings, policy=policy, conduct=conduct)
    session = await log_in(connect, settings, conduct=conduct)
    async with flat_nursery() as nursery:
        nursery.start_soon(keeper.keep, session)
        yield keeper
        await keeper.log_out()
