"""Sessions, connections, tasks and PDUs as the API shows them, read off the trackers of both legs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from iscsiproxy.api.models import Connection, Field, Leg, Numbers, PduView, Session, Task
from iscsiproxy.api.models import End as EndName
from iscsiproxy.api.server.veiling import summed_up, veiled, veiled_data, veiled_pdu
from iscsiproxy.errors import ScsiError
from iscsiproxy.proxy.carrier import Closable
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.events import Change, Delivered, Received
from iscsiproxy.session.snapshot import SessionView, Snapshot
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.describe import field_text, full
from iscsiproxy.wire.fields import lun_number
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["connections", "end_name", "pdu_view", "sessions", "show", "tasks"]

#: How much of the data is listed in lines, and given as it is
_DUMPED = 4096


def sessions(relay: Relay) -> tuple[Session, ...]:
    """Give the sessions that have a connection, by their number."""
    found: dict[int, list[int]] = {}
    for conn in relay.pairs:
        number = relay.trackers[End.INITIATOR].session(conn)
        if number:
            found.setdefault(number, []).append(conn)
    return tuple(_session(relay, conns) for _, conns in sorted(found.items()))


def _session(relay: Relay, conns: list[int]) -> Session:
    legs = {end: _state(relay, end, conns[0]).session for end in End}
    view = legs[End.INITIATOR]
    assert view is not None
    theirs = legs[End.TARGET]
    return Session(
        id=view.id,
        type=view.type,
        InitiatorName=view.InitiatorName,
        TargetName=view.TargetName,
        ISID=f"0x{view.ISID:012x}",
        TSIH=view.TSIH if theirs is None or view.TSIH else theirs.TSIH,
        connections=tuple(conns),
        outstanding=view.outstanding,
        initiator=_numbers(view),
        target=_numbers(theirs),
    )


def _numbers(view: SessionView | None) -> Numbers:
    if view is None:
        return Numbers(CmdSN=None, ExpCmdSN=None, MaxCmdSN=None, window=None)
    return Numbers(CmdSN=view.CmdSN, ExpCmdSN=view.ExpCmdSN, MaxCmdSN=view.MaxCmdSN, window=view.window)


def connections(relay: Relay, held: Mapping[int, int]) -> tuple[Connection, ...]:
    """Give the connections there are; `held` counts the PDUs that are held of each."""
    return tuple(_connection(relay, conn, held.get(conn, 0)) for conn in sorted(relay.pairs))


def _connection(relay: Relay, conn: int, held: int) -> Connection:
    pair = relay.pairs[conn]
    states = {end: _state(relay, end, conn) for end in End}
    here = states[End.INITIATOR]
    addresses = pair.addresses
    return Connection(
        id=conn,
        session=here.session.id if here.session is not None else 0,
        CID=here.conn.CID,
        phase=here.conn.phase.value,
        opened=round(here.conn.opened, 6),
        address=addresses[0],
        listen=addresses[1],
        local=addresses[2],
        portal=addresses[3],
        held=held,
        initiator=_leg(pair, End.INITIATOR, states[End.INITIATOR]),
        target=_leg(pair, End.TARGET, states[End.TARGET]),
    )


def _leg(pair: Closable, end: End, state: Snapshot) -> Leg:
    leg = pair.leg(end)
    return Leg(
        phase=state.conn.phase.value,
        StatSN=state.conn.StatSN,
        ExpStatSN=state.conn.ExpStatSN,
        outstanding=state.conn.outstanding,
        header_digest=leg.header_digest,
        data_digest=leg.data_digest,
        stalled=leg.stalled,
        closed=leg.closed,
        keys=_keys(state.keys),
        declared={str(by): _keys(keys) for by, keys in state.declared.items()},
    )


def _keys(keys: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in keys.items() if not key.upper().startswith("CHAP_")}


def tasks(relay: Relay, conn: int | None) -> tuple[Task, ...]:
    """Give the tasks without a status of a connection, or of all; what the target got and gave is of its leg."""
    return tuple(_tasks(relay, conn))


def _tasks(relay: Relay, conn: int | None) -> Iterator[Task]:
    theirs = {(task.command["ITT"], one): task for one, task in relay.trackers[End.TARGET].outstanding()}
    for one, task in relay.trackers[End.INITIATOR].outstanding():
        if conn is not None and one != conn:
            continue
        command = task.command
        there = theirs.get((command["ITT"], one), task)
        yield Task(
            conn=one,
            session=relay.trackers[End.INITIATOR].session(one),
            ITT=command["ITT"],
            LUN=lun_number(command.get("LUN") or 0),
            command=_command(command),
            CmdSN=command.get("CmdSN"),
            EDTL=command.get("EDTL") or 0,
            received=there.received,
            sent=task.sent,
            R2Ts=there.R2Ts,
            age=round(max(0.0, relay.now - task.started), 6),
        )


def _command(command: Pdu) -> str:
    if command.opcode != Opcode.SCSI_COMMAND:
        return command.label
    try:
        return str(decode_cdb(command.cdb))
    except ScsiError:
        return f"CDB={command.cdb.hex()}"


def end_name(end: End) -> EndName:
    """Give an end as the API names it."""
    return "initiator" if end is End.INITIATOR else "target"


def pdu_view(event: Received | Delivered, *, line: str = "", size: int | None = None) -> PduView:
    """Show a PDU that was seen; where it was cut, `line` sums up what it was, and `size` is how many bytes it had."""
    seen: dict[str, Any] = {"n": event.n, "at": event.at, "conn": event.conn, "leg": event.leg}
    seen |= {"line": line, "size": size}
    if isinstance(event, Received):
        return show(event.pdu, kind="received", **seen)
    return show(event.pdu, kind="delivered", of=event.of, rules=event.rules, changes=event.changes, **seen)


def show(
    pdu: Pdu,
    *,
    n: int,
    at: float,
    conn: int,
    leg: End,
    kind: Literal["received", "delivered", "held"],
    line: str = "",
    size: int | None = None,
    of: int | None = None,
    rules: tuple[str, ...] = (),
    changes: tuple[Change, ...] = (),
) -> PduView:
    """Show a PDU in full, without what must stay secret."""
    data, pdu = veiled_data(pdu, changes), veiled_pdu(pdu, changes)
    behind = (pdu.pad, pdu.data_digest) if len(data) <= _DUMPED else ()
    raw = b"".join((pdu.bhs, pdu.ahs, pdu.header_digest, data[:_DUMPED], *behind))
    cut = (f"  only the first {len(pdu.data)} bytes of its data are kept",) if size and size > len(pdu) else ()
    return PduView(
        n=n,
        at=round(at, 6),
        conn=conn,
        leg=end_name(leg),
        event=kind,
        label=pdu.label,
        summary=line or summed_up(pdu),
        fields=tuple(
            Field(name=field.name, value=field.get(pdu.bhs), text=field_text(field, field.get(pdu.bhs)))
            for field in sorted(pdu.fields.values(), key=lambda one: (one.offset, -one.mask))
        ),
        lines=(*full(pdu, data_limit=_DUMPED), *cut),
        raw=raw.hex(),
        size=len(pdu) if size is None else size,
        of=of,
        rules=rules,
        changes=veiled(changes, pdu),
    )


def _state(relay: Relay, end: End, conn: int) -> Snapshot:
    return relay.trackers[end].snapshot(conn, None, at=relay.now)
