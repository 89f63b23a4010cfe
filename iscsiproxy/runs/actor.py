"""An actor: our own initiator doing just the steps that a scenario lists, through the proxy like any other.

Steps are done in their order and do not wait, unless they say so. The proxy is told of each PDU before it is sent, so
that rules know it by its name from the first; the acts among the steps are the engine's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import trio

from iscsiproxy.engine import Engine
from iscsiproxy.engine.actors import Announced
from iscsiproxy.engine.work import ActError
from iscsiproxy.errors import InternalError, PeerError
from iscsiproxy.language.spec import Act, Literal_, Moment, Pattern, Scenario
from iscsiproxy.peers.initiator.errors import ConnectionLost
from iscsiproxy.peers.initiator.session import Session, log_in
from iscsiproxy.peers.initiator.settings import InitiatorSettings, random_isid
from iscsiproxy.peers.initiator.waiting import Tap
from iscsiproxy.peers.workload.drive import SessionDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.tally import WorkloadReport
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.runs.disks import Disk
from iscsiproxy.runs.driving import Behind, Context
from iscsiproxy.runs.embedded import EmbeddedDriver
from iscsiproxy.runs.scratch import Extent
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Actor", "ActorDriver", "ActorError"]

#: How long the proxy has to know of a connection that was made, in seconds
_KNOWN: Final = 5.0
_LOOK_AGAIN: Final = 0.01
#: Bytes of a command, where nothing else is said
_LENGTH: Final = 65536
#: Fields of a login that a session can be told to have, and what they are called there
_LOGIN_FIELDS: Final = {"ISID": "isid", "TSIH": "tsih", "CID": "cid", "CmdSN": "first_cmdsn", "ITT": "first_itt"}
#: What needs no answer, and takes no CmdSN
_WITHOUT_ANSWER = frozenset({Opcode.DATA_OUT, Opcode.SNACK})


class ActorError(PeerError):
    """A step cannot be done: its connection is not there, or a value that it needs is not."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection of the actor's: its number in the proxy, and its session while that lasts."""

    conn: int
    settings: InitiatorSettings
    session: Session | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(slots=True, eq=False)
class _Sent:
    """A PDU that was sent, to be sent again; `data` answers its R2Ts (None: nothing does)."""

    pdu: Pdu
    data: bytes | None


class Actor:
    """The steps of one scenario. `home` is a nursery that outlives them."""

    def __init__(
        self,
        context: Context,
        scenario: Scenario,
        relay: Relay,
        home: trio.Nursery,
        *,
        settings: InitiatorSettings,
        disk: Disk,
        extent: Extent | None = None,
    ) -> None:
        self._context = context
        self._scenario = scenario
        self._relay = relay
        self._home = home
        self._settings = settings
        self._disk = disk
        self._extent = extent
        self._connections: dict[str, _Connection] = {}
        self._last: str | None = None
        self._sent: dict[str, _Sent] = {}
        self._logins = 0
        self._begun: dict[int, trio.Event] = {}
        self._claimed: set[tuple[int, int]] = set()
        self._missing: set[str] = set()  #: names that nothing was sent for

    def __repr__(self) -> str:
        alive = sum(one.session is not None for one in self._connections.values())
        return f"<Actor of {self._scenario.name}, {alive} connections>"

    async def play(self) -> None:
        """Do every step. Raises ActorError for one that cannot be done; those of a refused login are passed over."""
        steps = self._scenario.actor
        for index, step in enumerate(steps):
            if step.name == "delay" and self._missing & _names(step):
                self._context.say(f"the actor's step {index + 1} was passed over: what it waits for was not sent")
                continue
            if index + 1 < len(steps) and _watches(steps[index + 1]):
                # What the next step waits for may come at once.
                self._begin(index + 1)
            match step.name:
                case "login":
                    await self._log_in(index, step)
                case "send":
                    await self._send(index, step)
                case "io":
                    await self._io(step)
                case _:
                    await self._begin(index).wait()

    async def close(self) -> None:
        """Log out what still lives."""
        for connection in self._connections.values():
            session = connection.session
            if session is not None and session.failure is None:
                # If the target does not like it, it is over either way.
                with trio.move_on_after(session.settings.logout_timeout), suppress(PeerError):
                    await session.logout()
            connection.scope.cancel()

    # --- steps --------------------------------------------------------------------------------------------------------

    def _begin(self, index: int) -> trio.Event:
        """Begin an act of the engine's, once; give what is set when it is over."""
        if index in self._begun:
            return self._begun[index]
        over = self._begun[index] = trio.Event()
        name = self._scenario.actor[index].params.get("conn") or self._last
        connection = self._connections.get(str(name))

        def perform(engine: Engine) -> None:
            steps = engine.actors[self._scenario.name]
            look = engine.glance(connection.conn) if connection is not None else None
            steps.perform(engine, index, look, lambda _: over.set())

        self._relay.ask(perform)
        return over

    async def _log_in(self, index: int, step: Act) -> None:
        name = str(step.params.get("as") or f"#{index + 1}")
        self._logins += 1
        settings = self._login_settings(index, step)
        connection = _Connection(0, settings)
        self._connections[name] = connection
        self._last = name

        async def connect() -> trio.abc.Stream:
            stream = await trio.open_tcp_stream(self._context.portal.host, self._context.portal.port)
            local = stream.socket.getsockname()
            connection.conn = await self._number(f"{local[0]}:{local[1]}")
            self._relay.ask(lambda engine: engine.christen(self._scenario.name, name, connection.conn))
            return stream

        try:
            session = await log_in(connect, settings, conduct=self._context.initiator.conduct)
        except PeerError as error:
            self._context.say(f"the actor's login {name}: {error}")
            return
        connection.session = session
        connection.settings = settings.changed(tsih=session.tsih)
        self._home.start_soon(self._keep, session, connection.scope)

    async def _keep(self, session: Session, scope: trio.CancelScope) -> None:
        with scope:
            await session.run()

    async def _number(self, address: str) -> int:
        with trio.move_on_after(_KNOWN):
            while (conn := self._relay.conn_of(address)) is None:  # noqa: ASYNC110 - that it is taken on is no event
                await trio.sleep(_LOOK_AGAIN)
            return conn
        raise ConnectionLost("the proxy did not take the connection on")

    def _login_settings(self, index: int, step: Act) -> InitiatorSettings:
        settings = self._settings.changed(isid=random_isid(str(self._context.seed), self._logins))
        for how in ("reinstate", "resume"):
            if (name := step.params.get(how)) is not None:
                before = self._connection(str(name))
                old = before.settings
                settings = settings.changed(isid=old.isid, cid=old.cid, tsih=old.tsih if how == "resume" else 0)
                if how == "resume" and before.session is not None:
                    # It is the same session, and goes on counting (RFC 7143 6.3.5).
                    settings = settings.changed(first_cmdsn=before.session.cmdsn)
        offers = dict(settings.offers)
        for key, expr in _mapping(step.params.get("offer")).items():
            offers[key] = str(expr.value) if isinstance(expr, Literal_) else offers.get(key, "")
        given = self._values(index, 0)
        unknown = sorted(given.keys() - _LOGIN_FIELDS.keys())
        if unknown:
            raise ActorError(f"a login cannot be told its {', '.join(unknown)}: a rule can change that")
        return settings.changed(offers=offers, **{_LOGIN_FIELDS[field]: value for field, value in given.items()})

    async def _send(self, index: int, step: Act) -> None:
        connection = self._connection(str(step.params.get("conn") or self._last))
        session = connection.session
        if session is None or session.failure is not None:
            self._context.say(f"the actor's step {index + 1} was passed over: its connection is not there")
            self._missing.add(str(step.params.get("as") or ""))
            return
        again = step.params.get("again")
        if again is not None:
            before = self._sent.get(str(again))
            if before is not None:
                await self._put(session, before, own_cmd_sn=False)
            return
        pdu, given = self._template(index, connection, session)
        sent = _Sent(pdu, self._data(step, pdu))
        name = step.params.get("as")
        if name is not None:
            self._announce(str(name), connection, pdu)
        sent.pdu = await self._put(session, sent, own_cmd_sn="CmdSN" not in given and "CmdSN" in pdu.fields)
        if name is not None:
            self._sent[str(name)] = sent

    def _template(self, index: int, connection: _Connection, session: Session) -> tuple[Pdu, frozenset[str]]:
        own: dict[str, Any] = {"LUN": self._context.target.lun or self._disk.lun, "ITT": session.take_itt()}
        made: list[tuple[Pdu, frozenset[str]]] = []

        def make(engine: Engine) -> None:
            steps = engine.actors[self._scenario.name]
            made.append(steps.template(engine, index, engine.glance(connection.conn), own))

        self._ask(make)
        pdu, given = made[0]
        if pdu.opcode == Opcode.SCSI_COMMAND and "EDTL" not in given and not pdu.data:
            blocks = decode_cdb(pdu.cdb or b"").blocks if pdu.cdb else None
            if blocks:
                pdu = pdu.with_fields({"EDTL": blocks * self._disk.block_size})
        return pdu, given

    def _data(self, step: Act, pdu: Pdu) -> bytes | None:
        data = step.params.get("data")
        if data == "none":
            return None
        if isinstance(data, bytes):
            return data
        if pdu.opcode == Opcode.SCSI_COMMAND and pdu["W"]:
            return Random(f"{self._context.seed}/{pdu['ITT']}").randbytes(pdu["EDTL"])
        return b""

    def _announce(self, name: str, connection: _Connection, pdu: Pdu) -> None:
        announced = Announced(name=name, conn=connection.conn, opcode=pdu.opcode, tag=pdu.get("ITT") or 0)
        self._relay.ask(lambda engine: engine.actors[self._scenario.name].announced.append(announced))

    async def _put(self, session: Session, sent: _Sent, *, own_cmd_sn: bool) -> Pdu:
        tag = sent.pdu.get("ITT")
        asks = tag not in (None, NO_TAG) and sent.pdu.opcode not in _WITHOUT_ANSWER
        if asks and tag is not None and (id(session), tag) not in self._claimed:
            self._claimed.add((id(session), tag))
            self._home.start_soon(self._take_answers, session, sent, session.claim(tag))
        try:
            return await session.send_raw(sent.pdu, cmdsn=own_cmd_sn, expstatsn="ExpStatSN" in sent.pdu.fields)
        except PeerError as error:
            self._context.say(f"the actor: {error}")
            return sent.pdu

    async def _take_answers(self, session: Session, sent: _Sent, tap: Tap) -> None:
        """Take what the target answers, and give it the data that it asks for."""
        with tap:
            async for pdu in tap:
                if pdu.opcode != Opcode.R2T or sent.data is None:
                    continue
                try:
                    for piece in _burst(sent, pdu, session.parameters.send_segment):
                        await session.send_raw(piece, expstatsn=True)
                except PeerError:
                    return

    async def _io(self, step: Act) -> None:
        connection = self._connection(str(step.params.get("conn") or self._last))
        session = connection.session
        if session is None or session.failure is not None:
            self._context.tell("error", "the actor's connection is not there")
            return
        size = step.params.get("size")
        length = size.value if isinstance(size, Literal_) and isinstance(size.value, int) else _LENGTH
        report = await self._work(session, str(step.params["do"]), length)
        for mismatch in report.mismatches[:1]:
            self._context.tell("mismatch", str(mismatch))
        if report.passed:
            self._context.tell("good", f"{report.commands} commands of the actor's")
        elif not report.mismatches:
            self._context.tell("error", str(report.lost or next(iter(report.errors), "no command was answered")))

    async def _work(self, session: Session, do: str, length: int) -> WorkloadReport:
        disk = self._disk
        blocks = max(1, length // disk.block_size)
        first, room = (self._extent.first, self._extent.blocks) if self._extent is not None else (0, disk.blocks)
        if blocks > room or first + room > disk.blocks:
            raise ActorError(f"a command of {length} bytes does not fit into the {room} blocks that it may use")
        settings = WorkloadSettings(
            lun=disk.lun,
            first=first,
            blocks=min(blocks * 8, room),
            block_size=disk.block_size,
            sizes=((blocks, 1),),
            reads={"verify": 0.5, "write": 0.0}.get(do, 1.0),
            count=8,
            # Nobody must take the data of an earlier step, or run, for its own.
            run=random.SystemRandom().randrange(1 << 32),
        )
        return await Workload(SessionDrive(session), settings, Random(self._context.seed)).run()

    async def good_io(self) -> Behind | None:
        """Do good I/O over every connection that still lives; None if there is none."""
        sessions = [one.session for one in self._connections.values() if one.session is not None]
        sessions = [one for one in sessions if one.failure is None and one.settings.target is not None]
        commands = 0
        with trio.move_on_after(self._context.patience) as limit:
            for session in sessions:
                report = await self._work(session, "verify", _LENGTH)
                if not report.passed:
                    why = next(iter((*report.mismatches, *report.errors)), None) or report.lost
                    return Behind(good=False, text=str(why or "no command was answered"))
                commands += report.commands
        if limit.cancelled_caught:
            return Behind(good=False, text=f"no good I/O in {self._context.patience:g} s")
        return Behind(good=True, text=f"{commands} commands went well") if sessions else None

    # --- odds and ends ------------------------------------------------------------------------------------------------

    def _connection(self, name: str) -> _Connection:
        connection = self._connections.get(name)
        if connection is None:
            raise ActorError(f"there is no connection {name}")
        return connection

    def _values(self, index: int, conn: int) -> Mapping[str, Any]:
        found: list[Mapping[str, Any]] = []

        def read(engine: Engine) -> None:
            steps = engine.actors[self._scenario.name]
            found.append(steps.values(engine, index, engine.glance(conn)))

        self._ask(read)
        return found[0]

    def _ask(self, call: Callable[[Engine], None]) -> None:
        try:
            self._relay.ask(call)
        except ActError as error:
            raise ActorError(str(error)) from error


def _watches(step: Act) -> bool:
    """Tell whether a step does nothing but wait for a PDU or an event."""
    until = step.params.get("until") if step.name == "delay" else None
    if not isinstance(until, tuple):
        return False
    return all(isinstance(one, Moment) and isinstance(one.steps[0], Pattern) for one in until)


def _names(step: Act) -> set[str]:
    """Name what the PDUs that a step waits for belong to."""
    until = step.params.get("until")
    moments = [one for one in until if isinstance(one, Moment)] if isinstance(until, tuple) else []
    patterns = [one for moment in moments for one in moment.steps if isinstance(one, Pattern)]
    return {pattern.of for pattern in patterns if pattern.of is not None}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _burst(sent: _Sent, r2t: Pdu, segment: int) -> list[Pdu]:
    """Make the Data-Outs that answer an R2T (RFC 7143 11.7, 11.8)."""
    offset, left = r2t["BufferOffset"], r2t["DesiredDataTransferLength"]
    data = (sent.data or b"").ljust(offset + left, b"\0")
    pieces: list[Pdu] = []
    while left > 0:
        size = min(left, segment)
        pdu = Pdu.build(Opcode.DATA_OUT, data[offset : offset + size]).with_fields(
            {
                "F": int(size == left),
                "LUN": r2t["LUN"],
                "ITT": r2t["ITT"],
                "TTT": r2t["TTT"],
                "DataSN": len(pieces),
                "BufferOffset": offset,
            }
        )
        pieces.append(pdu)
        offset, left = offset + size, left - size
    return pieces


class ActorDriver(EmbeddedDriver):
    """Our initiator, whose traffic while the fault lasts is what the scenario's actor does.

    `done` is called when the last step is done, with what went wrong if a step could not be.
    """

    def __init__(
        self,
        context: Context,
        scenario: Scenario,
        home: trio.Nursery,
        *,
        relay: Callable[[], Relay | None],
        done: Callable[[str], None],
        extent: Extent | None = None,
    ) -> None:
        super().__init__(context, scenario, home, extent=extent)
        self._done = done
        self._scenario = scenario
        self._relay = relay
        self._actor: Actor | None = None

    async def fault(self, over: trio.Event) -> None:
        """Do the steps, then wait until `over`."""
        relay = self._relay()
        if relay is None or not self.disks:
            raise InternalError("an actor has a proxy and a disk before it acts")
        self._actor = Actor(
            self._context,
            self._scenario,
            relay,
            self._home,
            settings=self._settings,
            disk=self.disks[0],
            extent=self._extent,
        )
        async with trio.open_nursery() as nursery:

            async def play(actor: Actor) -> None:
                trouble = ""
                try:
                    await actor.play()
                except (ActorError, ActError) as error:
                    trouble = f"a step could not be done: {error}"
                self._done(trouble)

            nursery.start_soon(play, self._actor)
            await over.wait()
            nursery.cancel_scope.cancel()

    async def behind(self, *, anew: bool) -> Behind:
        """Do good I/O over the actor's own connections if they live; else it is gone, and a session of ours does it."""
        if self._actor is not None:
            if not anew and (own := await self._actor.good_io()) is not None:
                return own
            await self._actor.close()
        return await super().behind(anew=anew)

    async def close(self) -> None:
        """Log out what lives."""
        if self._actor is not None:
            await self._actor.close()
        await super().close()
