"""Scenarios whose steps an actor does, on a stage of real peers: what of it the target got."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iscsiproxy.journal import read
from iscsiproxy.session.events import Delivered, Event, Received
from iscsiproxy.wire.opcodes import End, Opcode
from tests.catalogue.harness import Claims
from tests.runs.playing import play, written

__all__ = ["acted"]

_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)


async def acted(text: str, folder: Path, *, leg: End = End.TARGET) -> Sequence[Delivered]:
    """Play a scenario; give what reached an end while the actor was at work, but for logins.

    It has to be, byte for byte, what the other end sent: an actor is not a rule, and nothing is changed on the way.
    """
    run = await play(written(text, folder), folder=folder)
    assert run.verdict == "pass", run.why
    with read(folder / "journal.jsonl") as reader:
        events = [record.entry for record in reader if isinstance(record.entry, Event)]
    begin, end = (
        next(one.n for one in events if getattr(one, "stage", "") == stage) for stage in ("fault", "aftermath")
    )
    during = [one for one in events if begin < one.n < end]
    got = [one for one in during if isinstance(one, Delivered) and one.leg is leg]
    said = {one.n: one.pdu for one in during if isinstance(one, Received) and one.leg is leg.other}
    assert got
    assert all(one.of is not None and one.pdu.raw == said[one.of].raw for one in got)
    Claims.made.add(leg)
    return [one for one in got if one.pdu.opcode not in _LOGIN]
