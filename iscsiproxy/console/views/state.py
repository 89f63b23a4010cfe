"""Sessions, connections and tasks; what was negotiated on both legs, and how far a command window is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from iscsiproxy.api.models import Connection, Leg, Numbers, Proxy, Session, Task
from iscsiproxy.console.lines import Line, Piece, cut, line, pad, table

__all__ = ["connections", "negotiated", "proxy", "sessions", "tag", "tasks", "window"]

#: How wide the bar of a window is drawn, on a wide screen and on a narrow one
_BARS: Final = (32, 10)
_WIDE: Final = 100
#: The modulus of sequence numbers (RFC 1982)
_SERIALS: Final = 1 << 32
_NO_TAG: Final = 0xFFFFFFFF


def tag(value: int) -> str:
    """Show an Initiator Task Tag as the language writes it."""
    return "none" if value == _NO_TAG else f"0x{value:08x}"


def _known(value: int | None) -> str:
    return "?" if value is None else str(value)


def proxy(found: Proxy, width: int) -> Iterator[Line]:
    """Show the run as a whole."""
    for route in found.routes:
        yield line(("name", route.listen), f" → {route.target}")
    facts = {
        "program": f"iscsiproxy {found.version}, process {found.pid}, up {found.now:.1f}s, seed {found.seed}",
        "target": "scratch: its data may be lost" if found.scratch else "not declared scratch",
        "judged": f"by {found.profile}" if found.checked else "no",
        "journal": found.journal or "none",
        "capture": found.capture or "none",
        "now": f"{found.sessions} sessions, {found.connections} connections, {found.tasks} tasks, {found.pdus} PDUs",
        "faults": f"{found.armed} of {found.rules} rules armed, {found.held} held, {found.stalled} stalled",
        "clients": str(found.clients),
    }
    for name, text in facts.items():
        yield cut(line(f"{name:9}", text), width)
    for text in found.internal_errors:
        yield cut(line(("alarm", "internal error "), text), width)


def sessions(found: Sequence[Session], width: int) -> Iterator[Line]:
    """List sessions, each with the names of its ends below."""
    if not found:
        yield line("no session")
        return
    rows: list[tuple[Piece | str, ...]] = [
        (
            ("name", str(one.id)),
            one.type,
            one.ISID,
            f"0x{one.TSIH:04x}",
            ",".join(map(str, one.connections)) or "-",
            str(one.outstanding),
            _known(one.initiator.CmdSN),
            _known(one.target.CmdSN),
        )
        for one in found
    ]
    head, *lines = table(
        ("ID", "TYPE", "ISID", "TSIH", "CONNS", "TASKS", "CmdSN I", "CmdSN T"), rows, right=(0, 5, 6, 7)
    )
    yield cut(head, width)
    for session, row in zip(found, lines, strict=True):
        yield cut(row, width)
        ends = f"    {session.InitiatorName or '?'} → {session.TargetName or '?'}"
        yield cut(line(ends), width)


def connections(found: Sequence[Connection], used: int | None, width: int) -> Iterator[Line]:
    """List connections; the one in use has a `*`."""
    if not found:
        yield line("no connection")
        return
    rows: list[tuple[Piece | str, ...]] = [
        (
            ("name", f"{'*' if one.id == used else ''}{one.id}"),
            str(one.session or "-"),
            "-" if one.CID is None else str(one.CID),
            one.phase,
            str(one.initiator.outstanding),
            _held(one),
            f"{one.address} → {one.portal}",
        )
        for one in found
    ]
    for row in table(
        ("ID", "SESSION", "CID", "PHASE", "TASKS", "STATE", "INITIATOR → TARGET"), rows, right=(0, 1, 2, 4)
    ):
        yield cut(row, width)


def _held(connection: Connection) -> Piece:
    legs = {"initiator": connection.initiator, "target": connection.target}
    words = [f"{connection.held} held"] if connection.held else []
    for what in ("stalled", "closed"):
        ends = [end for end, leg in legs.items() if getattr(leg, what)]
        if ends:
            words.append(what if len(ends) == len(legs) else f"{what} ({ends[0]})")
    return ("held", ", ".join(words)) if words else ("", "-")


def tasks(found: Sequence[Task], width: int) -> Iterator[Line]:
    """List tasks, oldest first."""
    if not found:
        yield line("no task without a status")
        return
    rows: list[tuple[Piece | str, ...]] = [
        (
            str(one.conn),
            ("name", tag(one.ITT)),
            str(one.LUN),
            _known(one.CmdSN),
            f"{one.age:.3f}s",
            f"{one.received}/{one.sent}/{one.EDTL}",
            str(one.R2Ts),
            one.command,
        )
        for one in sorted(found, key=lambda one: -one.age)
    ]
    head = ("CONN", "ITT", "LUN", "CmdSN", "AGE", "OUT/IN/EDTL", "R2Ts", "COMMAND")
    for row in table(head, rows, right=(0, 2, 3, 4, 5, 6)):
        yield cut(row, width)


# --- what was negotiated -------------------------------------------------------------------------------------------


def negotiated(connection: Connection, width: int) -> Iterator[Line]:
    """Show the keys: where the legs differ side by side and with a mark, else once."""
    legs = (connection.initiator, connection.target)
    keys = sorted({key for leg in legs for key in leg.keys})
    declared = sorted({(end, key) for leg in legs for end, own in leg.declared.items() for key in own})
    rows = [(key, *(leg.keys.get(key, "-") for leg in legs)) for key in keys]
    rows += [(f"{key} ({end})", *(leg.declared.get(end, {}).get(key, "-") for leg in legs)) for end, key in declared]
    rows += [
        (what, *(_yes(leg, name) for leg in legs))
        for what, name in (("header digests", "header_digest"), ("data digests", "data_digest"))
    ]
    yield line("connection ", ("name", str(connection.id)), f", {connection.phase}")
    if differing := [(("differs", "≠"), *(("differs", one) for one in row)) for row in rows if row[1] != row[2]]:
        for shown in table(("", "KEY", "INITIATOR LEG", "TARGET LEG"), differing):
            yield cut(shown, width)
    for shown in table(("", "KEY", "BOTH LEGS"), [("", key, first) for key, first, second in rows if first == second]):
        yield cut(shown, width)


def _yes(leg: Leg, name: str) -> str:
    return "yes" if getattr(leg, name) else "no"


# --- the command window --------------------------------------------------------------------------------------------


def window(session: Session, width: int) -> Iterator[Line]:
    """Show the command window of a session on both legs (RFC 7143 4.2.2.1)."""
    yield line("session ", ("name", str(session.id)), f", {session.outstanding} tasks without a status")
    bar = _BARS[0] if not width or width >= _WIDE else _BARS[1]
    rows = [
        (name, _known(of.CmdSN), _known(of.ExpCmdSN), _known(of.MaxCmdSN), _known(of.window), _bar(of, bar))
        for name, of in (("initiator", session.initiator), ("target", session.target))
    ]
    for row in table(("LEG", "CmdSN", "ExpCmdSN", "MaxCmdSN", "WINDOW", "IN USE"), rows, right=(1, 2, 3, 4)):
        yield cut(row, width)


def _bar(of: Numbers, width: int) -> Piece:
    """Draw what is on its way, of what the target takes: from ExpCmdSN to CmdSN to MaxCmdSN."""
    if of.CmdSN is None or of.ExpCmdSN is None or of.MaxCmdSN is None:
        return ("", "?")
    size = (of.MaxCmdSN + 1 - of.ExpCmdSN) % _SERIALS
    sent = (of.CmdSN - of.ExpCmdSN) % _SERIALS
    if size == 0:
        return ("alarm", "closed")
    if max(size, sent) >= _SERIALS // 2:
        return ("", "?")
    full = min(width, -(-sent * width // size))
    style = "alarm" if sent >= size else ""
    return (style, f"{pad('#' * full, width).replace(' ', '.')} {sent}/{size}")
