"""A run under control: a proxy between peers that do exactly what a test says, and the control of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from iscsiproxy.api import models
from iscsiproxy.api.server.control import Control
from iscsiproxy.api.server.history import Stream
from iscsiproxy.api.server.presence import Run
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.api.server.timers import Patience
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.proxy.fakes import Bench, Peer, bench, login_request, login_response

__all__ = [
    "LIBRARY",
    "Reader",
    "Shelf",
    "Stand",
    "ping",
    "refused",
    "response",
    "stand",
    "write",
]

_WRITE_10 = bytes.fromhex("2a000000000000000800")


def write(itt: int, cmd_sn: int, data: bytes = b"", **values: int | bytes) -> Pdu:
    """Make a WRITE(10) of 4096 bytes."""
    fields: dict[str, int | bytes] = {"F": 1, "W": 1, "ATTR": 1, "ITT": itt, "EDTL": 4096, "CmdSN": cmd_sn}
    pdu = Pdu.build(Opcode.SCSI_COMMAND, data)
    return pdu.with_fields({**fields, "ExpStatSN": 2, "CDB": _WRITE_10, **values})


def response(itt: int, stat_sn: int, **values: int) -> Pdu:
    """Make a SCSI Response, GOOD unless `Status` says otherwise."""
    fields = {"F": 1, "ITT": itt, "StatSN": stat_sn, "ExpCmdSN": 1, "MaxCmdSN": 64}
    return Pdu.build(Opcode.SCSI_RESPONSE).with_fields({**fields, **values})


def ping(itt: int, cmd_sn: int = 1, **values: int) -> Pdu:
    """Make an immediate NOP-Out."""
    fields = {"I": 1, "F": 1, "ITT": itt, "TTT": NO_TAG, "CmdSN": cmd_sn, "ExpStatSN": 2}
    return Pdu.build(Opcode.NOP_OUT).with_fields({**fields, **values})


class Shelf:
    """Scenarios on a shelf, by name."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def names(self) -> Iterable[str]:
        return self._texts

    def read(self, name: str) -> tuple[str, str]:
        return self._texts[name], f"{name}.yaml"


LIBRARY = Shelf(
    {
        "lost": "scenario: lost\nvictim: target\nrules:\n  - name: hole\n    when: SCSI-Command nth 1\n    do: drop\n",
        "pings": "scenario: pings\nvictim: both\nparams: {nth: 2}\nmatrix: {what: [NOP-Out, NOP-In]}\nrules:\n"
        "  - when: $what nth $nth\n    do: drop\n  - when: Async\n    do: drop\n    optional: yes\n",
        "acting": "scenario: acting\nvictim: target\nactor:\n  - login: {as: A}\n",
    }
)


class Reader:
    """A client that reads events; what it has read is in `events`."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.events: list[models.Event] = []

    async def until(self, done: Callable[[models.Event], object]) -> models.Event:
        """Read on until there is such an event."""
        while True:
            for event in self.events:
                if done(event):
                    return event
            batch = await self.stream.batch()
            assert batch, "the stream has ended"
            self.events += batch

    async def kind(self, kind: str, **values: Any) -> models.Event:
        """Read on until there is an event of a kind, with these values."""
        wanted = {"event": kind, **values}
        return await self.until(lambda event: all(getattr(event, name) == value for name, value in wanted.items()))

    async def rest(self) -> list[models.Event]:
        """Read to the end."""
        while batch := await self.stream.batch():
            self.events += batch
        return self.events


@dataclass
class Stand:
    """What a test has to do with."""

    bench: Bench
    control: Control
    readers: list[Reader] = field(default_factory=list)

    @property
    def relay(self) -> Relay:
        """What the pairs share."""
        return self.bench.relay

    async def login(
        self, asked: dict[str, str] | None = None, answered: dict[str, str] | None = None
    ) -> tuple[Peer, Peer]:
        """Connect and log in."""
        return await self.bench.login(asked, answered)

    async def login_as(self, isid: int) -> tuple[Peer, Peer]:
        """Connect and log in to a session of one's own."""
        initiator, target = await self.bench.connect()
        await initiator.send(login_request().with_fields({"ISID": isid}))
        await target.pdu()
        await target.send(login_response(ISID=isid, TSIH=8))
        await initiator.pdu()
        return initiator, target

    def read(self, **query: Any) -> Reader:
        """Begin to read events."""
        reader = Reader(self.control.events(models.EventQuery(**query)))
        self.readers.append(reader)
        return reader

    def arm(self, line: str, **values: Any) -> models.Armed:
        """Arm a line, whatever harm it may do."""
        return self.control.arm(models.Arming(line=line, **{"confirm": True, **values}))

    async def held(self, count: int = 1) -> tuple[models.Held, ...]:
        """Wait until so many PDUs are held."""
        await self.bench.until(lambda: len(self.control.held()) >= count)
        return self.control.held()

    def state(self) -> tuple[object, ...]:
        """Give all that a request which is refused may not change."""
        engine = self.relay.engine
        assert engine is not None
        control = self.control
        return (
            control.rules(),
            tuple(control.held_pdu(one.n) for one in control.held()),
            [count.facts() for count in engine.counters()],
            engine.waiting(),
            control.recording(),
            [self.relay.interest(end) for end in End],
            sorted(engine._timers),
        )


def refused(call: Callable[[], object]) -> Refusal:
    """Give the refusal that a call raises."""
    try:
        call()
    except Refusal as refusal:
        return refusal
    raise AssertionError("it was not refused")


@asynccontextmanager
async def stand(
    *scenarios: Scenario,
    pdus: bool = False,
    scratch: bool = False,
    always: bool = False,
    timers: Mapping[str, float] | None = None,
    **settings: Any,
) -> AsyncIterator[Stand]:
    """Run a proxy that can be controlled; with `pdus` somebody records PDUs from the start."""
    async with bench(*scenarios, pdus=pdus, open_to_rules=True, **settings) as the:
        run = Run(seed=1, library=LIBRARY, scratch=scratch, always=always, patience=Patience(timers))
        control = Control(the.proxy, run, scenarios=scenarios)
        control.begin()
        try:
            yield Stand(the, control)
        finally:
            control.close()
            assert not the.relay.crashes
