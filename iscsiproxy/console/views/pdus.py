"""PDUs in full, and those in hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from iscsiproxy.api.models import Held, Injected, PduView, Timer
from iscsiproxy.console.lines import Line, Piece, cut, line, table

__all__ = ["held", "held_line", "injected", "pdu", "timer_text"]

#: Bytes of a line of a dump
_DUMP: Final = 16
#: A line of dumped data as the proxy makes them, and how many are shown
_DUMPED: Final = re.compile(r"\s+[0-9a-f]{6}  ")
_SHOWN: Final = 8
#: The length of a basic header segment, and the unit of TotalAHSLength (RFC 7143 11.2)
_HEADER: Final = 48
_WORD: Final = 4
_OTHER: Final = {"initiator": "target", "target": "initiator"}


def pdu(one: PduView, width: int, *, everything: bool = False) -> Iterator[Line]:
    """Show all of a PDU: where it was seen, what was done to it, its fields and data, its header as bytes."""
    direction = f"to the {one.leg}" if one.event == "delivered" else f"from the {one.leg}"
    yield cut(
        line(("name", f"{one.n} {one.label}"), f"  {one.event} {direction}, conn {one.conn}, {one.at:.6f}s"), width
    )
    if one.of is not None and one.of != one.n:
        yield line(f"of event {one.of}")
    if one.rules:
        yield line("rules ", ("fault", ", ".join(one.rules)))
    for change in one.changes:
        yield cut(line("changed ", ("changed", change)), width)
    for text in one.lines if everything else _shortened(one.lines, one.n):
        yield cut(line(text), width)
    head = _HEADER + _WORD * next((field.value for field in one.fields if field.name == "TotalAHSLength"), 0)
    yield line(("head", f"header, {head} bytes"))
    for text in dump(one.raw.replace(" ", "")[: 2 * head]):
        yield cut(line(text), width)


def _shortened(lines: Sequence[str], n: int) -> Iterator[str]:
    """Leave out what is dumped of long data, but for its beginning."""
    dumped = 0
    for text in lines:
        dumped = dumped + 1 if _DUMPED.match(text) else 0
        if dumped <= _SHOWN:
            yield text
        elif dumped == _SHOWN + 1:
            yield f"    … `show {n} all` shows more"


def dump(raw: str) -> Iterator[str]:
    """Lay hexadecimal digits out, 16 bytes a line, with what can be printed of them."""
    pairs = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    for at in range(0, len(pairs), _DUMP):
        row = pairs[at : at + _DUMP]
        left, right = " ".join(row[:8]), " ".join(row[8:])
        shown = "".join(map(_shown, row))
        yield f"  {at:04x}  {left:<23}  {right:<23}  {shown}"


def _shown(pair: str) -> str:
    try:
        sign = chr(int(pair, 16))
    except ValueError:  # hidden
        return "?"
    return sign if sign.isascii() and sign.isprintable() else "."


def timer_text(timer: Timer, left: float | None = None) -> str:
    """Tell which timer of a peer runs out next, and when."""
    seconds = timer.left if left is None else left
    return f"{timer.what} {max(seconds, 0.0):.1f}s ({timer.end})"


def held(found: Sequence[Held], now: float, width: int) -> Iterator[Line]:
    """List the PDUs in hand, oldest first."""
    if not found:
        yield line("nothing is held")
        return
    rows: list[tuple[Piece | str, ...]] = [
        (
            ("held", str(one.n)),
            str(one.conn),
            f"{one.leg[0].upper()} → {_OTHER[one.leg][0].upper()}",
            f"{max(now - one.since, 0.0):.1f}s",
            timer_text(one.timer) if one.timer is not None else "-",
            one.until,
            one.summary,
        )
        for one in found
    ]
    lines = table(("N", "CONN", "WAY", "HELD", "TIMER", "UNTIL", "PDU"), rows, right=(0, 1, 3))
    yield cut(lines[0], width)
    for one, row in zip(found, lines[1:], strict=True):
        yield cut(row, width)
        for change in one.changes:
            yield cut(line("    ", ("changed", change)), width)


def held_line(one: Held, what: str, width: int) -> Line:
    """Tell what became of a PDU in hand."""
    changes = f" ({'; '.join(one.changes)})" if one.changes else ""
    return cut(line(("held", f"{what} "), ("name", str(one.n)), f" {one.summary}", ("changed", changes)), width)


def injected(done: Injected, width: int) -> Iterator[Line]:
    """Show what was sent and what answered it."""
    sent, answer = done.sent, done.answer
    if sent is None:
        yield line(("bad", "sent   "), "nothing")
    else:
        yield cut(line(("changed", "sent   "), ("name", f"{sent.n} "), sent.summary), width)
    if answer is not None:
        yield cut(line(("target", "answer "), ("name", f"{answer.n} "), answer.summary), width)
    elif sent is None or done.asks:
        yield line(("bad", "answer "), "none came in that time")
    else:
        # A NOP-In asks by its TTT (RFC 7143 11.19.2), which it does not have unless it is given one.
        yield line("answer none is asked for", "; `inject NOP-In TTT=1` asks" if sent.label == "NOP-In" else "")
