"""Who is there, and what that costs the wire: a run, and those who watch it.

Looking at headers and keeping PDUs goes on only while somebody is there to see it. Whoever is told of events is never
waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from iscsiproxy.api import models
from iscsiproxy.api.server.armoury import Armoury, Library
from iscsiproxy.api.server.explaining import Explaining
from iscsiproxy.api.server.history import History, Stream
from iscsiproxy.api.server.recorder import Recorder
from iscsiproxy.api.server.timers import Patience
from iscsiproxy.api.server.watching import wanted_by
from iscsiproxy.engine import Engine
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Proxy, Sink
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Findings", "Presence", "Run"]

#: How long numbers and tasks are followed behind the last request of somebody who does not stay, in seconds
_LINGER = 60.0


class Findings(Protocol):
    """The judge of a run, as the API asks it."""

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give what was found."""

    def counts(self) -> dict[str, int]:
        """Count the findings by severity; `known` are those that are accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What there is to know of a run beside its proxy.

    `always` follows numbers and tasks from the start. `patience` is how long the peers are taken to wait.
    """

    seed: int
    library: Library
    scratch: bool = False
    profile: str = ""
    journal: Path | None = None
    capture: Path | None = None
    always: bool = False
    patience: Patience = field(default_factory=Patience)
    findings: Findings | None = None
    lost: Callable[[], int] = field(default=lambda: 0)


class Presence:
    """A run, and those who watch it. `proxy` is open to rules; `begin` is to be called when it runs."""

    def __init__(self, proxy: Proxy, run: Run, *, scenarios: tuple[Scenario, ...] = ()) -> None:
        self._proxy = proxy
        self._run = run
        self.history = History()
        self._armoury = Armoury(lambda: self._relay, run.library, scratch=run.scratch)
        self._recorder = Recorder(lambda: self._relay.now, self._busy)
        self._explaining = Explaining(self._state, scenarios)
        self._keeping = Sink(self.history.take)
        self._following = Sink(self._explaining)
        self._records = False  #: PDUs are recorded, and so everything is looked at anyhow
        self._clients = 0
        self._readers = 0  #: those who want PDUs
        self._called = -_LINGER

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._clients} clients, {self._armoury!r}>"

    @property
    def _relay(self) -> Relay:
        relay = self._proxy.relay
        assert relay is not None  # nobody is served before the proxy runs
        return relay

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        return self._relay.trackers[leg].snapshot(conn, pdu, at=self._relay.now)

    # --- while it lasts ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to keep what happens."""
        relay = self._relay
        self._records = relay.records
        self._explaining.seeing = self._records
        relay.listen(self._keeping, self._following, Sink(self._recorder))
        self._look()
        self._follow()

    async def keep_up(self) -> None:
        """Follow numbers and tasks no longer when nobody has been there for a while; runs until cancelled."""
        while True:
            await trio.sleep(_LINGER / 4)
            self._follow()

    def close(self) -> None:
        """End every stream."""
        self.history.close()

    def called(self) -> None:
        """Take note that somebody has asked for something."""
        self._called = self._relay.now
        self._follow()

    def crashed(self, error: Exception) -> None:
        """Take note of an error of this program; the run proves nothing any more."""
        self._relay.crashed(error, 0)

    def _busy(self) -> int:
        return sum(1 for _ in self._relay.trackers[End.INITIATOR].outstanding())

    @property
    def _somebody(self) -> bool:
        """Whether somebody is there, or was a moment ago."""
        return self._run.always or self._clients > 0 or self._relay.now - self._called < _LINGER

    def _follow(self) -> None:
        self._relay.follow(self._somebody)
        if not (self._somebody or self._records):
            self._explaining.look_away()
        self._look()

    def _look(self) -> None:
        """Have PDUs kept as long as somebody wants them, and told to what explains once somebody has asked for that.

        Where they are recorded anyhow it costs little more to keep them for whoever is there.
        """
        relay, explained = self._relay, self._explaining.seeing
        kept = self._readers > 0 or (self._records and self._somebody)
        if (kept, explained) != (self._keeping.pdus, self._following.pdus):
            relay.unlisten(self._keeping)
            relay.unlisten(self._following)
            self._keeping, self._following = Sink(self.history.take, kept), Sink(self._explaining, explained)
            relay.listen(self._keeping, self._following)
            relay.refresh()

    # --- what happens ------------------------------------------------------------------------------------------------

    def events(self, query: models.EventQuery) -> Stream:
        """Begin to tell of events."""
        wanted = wanted_by(query, self._state)
        pdus = query.follow and (query.pdus or query.where is not None)
        stream = self.history.read(wanted, since=query.since, follow=query.follow, limit=query.limit)
        if query.follow:
            self._clients += 1
            self._follow()
        if pdus:
            self._readers += 1
            self._look()

        def gone() -> None:
            self.history.forget(stream)
            if query.follow:
                self._clients -= 1
            if pdus:
                self._readers -= 1
                self._look()
            self.called()

        stream.on_close = gone
        return stream

    # --- what is asked of the engine ----------------------------------------------------------------------------------

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        """Ask the engine for something; what comes of it is done behind the block, and what to look at is new."""
        relay = self._relay
        engine = relay.engine
        assert engine is not None
        relay.ask(lambda _: None)  # it knows the time now
        try:
            yield engine
        finally:
            relay.ask(lambda _: None)
            relay.run_due()  # what is to be done at once is done now
            relay.refresh()
