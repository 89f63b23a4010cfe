"""Short events for tales: a fault that captures `n`, what may come behind it, and time that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tests.engine.dialogue import nop_in, nop_out, read, scsi_response
from tests.runs.tale import TARGET, Tale

__all__ = [
    "BAD",
    "RESPONSE",
    "Part",
    "answer",
    "barrier",
    "close",
    "fault",
    "hung",
    "late",
    "other",
    "request",
    "told",
    "too_late",
    "twice",
]

Part: TypeAlias = Callable[[Tale], object]

RESPONSE = scsi_response(1, 100)
BAD = scsi_response(1, 100, Status=2)


def fault(tale: Tale) -> None:
    tale.dropped(read(1, 1), "n")


def answer(tale: Tale) -> None:
    tale.passed(RESPONSE)


def twice(tale: Tale) -> None:
    tale.passed(RESPONSE)
    tale.passed(RESPONSE)


def other(tale: Tale) -> None:
    tale.passed(scsi_response(9, 200))


def request(tale: Tale) -> None:
    tale.passed(nop_out(5, 2))


def late(tale: Tale) -> None:
    tale.wait(3).passed(nop_in(5, 101))


def too_late(tale: Tale) -> None:
    tale.wait(30).passed(nop_in(5, 101))


def barrier(tale: Tale) -> None:
    tale.barrier()


def hung(tale: Tale) -> None:
    tale.barrier(how="hung")


def close(tale: Tale) -> None:
    tale.closed(TARGET, "rst")


def told(*parts: Part) -> Tale:
    tale = Tale()
    for part in parts:
        part(tale)
    return tale
