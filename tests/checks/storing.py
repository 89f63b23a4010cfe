"""Journals about what disks hold: their parts, and what a judge makes of them."""

from __future__ import annotations

from collections.abc import Sequence

from iscsiproxy.checks.court import Court
from iscsiproxy.checks.disk import Counts
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.profiles import DEFAULT
from iscsiproxy.checks.scene.scene import Limits
from iscsiproxy.checks.storage import Hashes
from iscsiproxy.journal import Lost
from iscsiproxy.session.events import Event
from iscsiproxy.wire.opcodes import End
from tests.checks.cases import judged
from tests.checks.dialogue import records_of

__all__ = [
    "ABORT",
    "BEGUN",
    "BLAMED",
    "BOTH",
    "CAPACITY",
    "COMPARE",
    "LOGIN",
    "LOSS",
    "NEW",
    "OLD",
    "TWICE",
    "UNKNOWN",
    "A",
    "B",
    "C",
    "court_of",
    "flying",
    "found",
    "judge_of",
    "on_target",
    "read",
    "write",
]


def write(place: str, data: str, how: str = "", answer: str = "") -> str:
    """Write blocks with immediate data."""
    return f"> SCSI-Command cdb=WRITE(10):{place} data={data} {how}\n< SCSI-Response {answer}\n"


def read(place: str, data: str, how: str = "") -> str:
    """Read blocks."""
    return f"> SCSI-Command cdb=READ(10):{place} {how}\n< Data-In data={data} F S\n"


#: Two contents of a block, and a third
A, B, C = "512*a5", "512*5a", "512*c3"
LOGIN = "login\n"
OLD, NEW = write("8+1", A), write("8+1", B)
#: Two blocks that were written twice
TWICE = LOGIN + write("8+2", f"{A},{A}") + write("8+2", f"{B},{B}")
#: Two writes to a block, in flight together
BOTH = f"""{LOGIN}> SCSI-Command cdb=WRITE(10):8+1 data={A} as one
> SCSI-Command cdb=WRITE(10):8+1 data={B} as two
< SCSI-Response ITT=two.ITT
< SCSI-Response ITT=one.ITT
"""
COMPARE = "> SCSI-Command cdb=COMPARE-AND-WRITE:8+1 data={},{}\n< SCSI-Response {}\n"
#: Nothing is known of the block that is read
UNKNOWN = LOGIN + read("8+1", A)
#: A write that nobody has answered
BEGUN = LOGIN + OLD + f"> SCSI-Command cdb=WRITE(10):8+1 data={B} as w\n"
ABORT = "> TMF-Request I Function=ABORT_TASK RefTaskTag=w.ITT RefCmdSN=w.CmdSN\n< TMF-Response\n"
LOSS = "close initiator rst\n"
CAPACITY = "> SCSI-Command cdb=READ-CAPACITY(10)\n< Data-In data=hex:000000ff00000{} F S\n"


def found(text: str) -> list[tuple[str, End | None]]:
    """Judge a dialogue live and from a file; give what is wrong with the data, and whose fault it is."""
    return [(one.rule, one.blame) for one in judged(text).findings if one.rule.startswith("D")]


def judge_of(text: str) -> Judge:
    judge = Judge()
    for record in records_of(text):
        judge.take(record)
    assert judge.crashes == ()
    return judge


def on_target(text: str) -> Counts:
    """Count what was judged on the target's leg."""
    court = court_of(text)
    assert court.storage is not None
    return court.storage.disks.counts()


def court_of(text: str, end: End = End.TARGET) -> Court:
    told: list[Finding] = []
    court = Court(end, [], profile=DEFAULT, limits=Limits(), tell=told.append, hashes=Hashes())
    for record in records_of(text):
        if isinstance(record.entry, Lost):
            court.missed()
        elif isinstance(record.entry, Event):
            court.take(record, record.entry)
    assert court.crashes == ()
    return court


def flying(text: str) -> Sequence[int]:
    """Count the commands that each leg takes for in flight."""
    storages = [court_of(text, end).storage for end in End]
    return [int(repr(one).rpartition(", ")[2].partition(" ")[0]) for one in storages]


BLAMED = [("D-006", End.TARGET)]
