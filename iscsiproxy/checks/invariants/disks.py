"""Data that cannot be what a disk holds: the findings of the shadow disk, as rules.

Nobody asks these rules anything: `storage` follows the disks, and says what was wrong with a read. Their evidence is
counted in sectors of 512 bytes that were read and could be judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from iscsiproxy.checks.disk import Kind
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import Family, Outcome, Rule, Severity

__all__ = ["FAMILY", "KINDS"]

#: GOOD tells that a command was done.
_DONE = "RFC 7143 11.4.2, SAM-5 5.3.1"


def _is_followed(_moment: Moment) -> Outcome:
    return None


def _rule(number: int, title: str, clause: str, why: str) -> Rule:
    return Rule(
        id=f"D-{number:03}", title=title, severity=Severity.MUST, clause=clause, check=_is_followed, why=why
    )  # fmt: skip


#: Each kind of wrong data, and what it is called as a rule
KINDS: Mapping[Kind, Rule] = MappingProxyType(
    {
        Kind.LOST: _rule(
            1,
            "What was written and answered GOOD is read back",
            _DONE,
            "A file system or a database that trusts the status has lost what it was told is safe.",
        ),
        Kind.STALE: _rule(
            2,
            "What was read once is not older the next time",
            _DONE,
            "Two caches of one target do not agree, and who reads twice sees time go back.",
        ),
        Kind.TORN: _rule(
            3,
            "A write that was answered GOOD is there as a whole",
            _DONE,
            "Half of a journal record is on the disk and looks like a whole one.",
        ),
        Kind.MISORDERED: _rule(
            4,
            "Of two writes to one block the one with the higher CmdSN is the last",
            "RFC 7143 4.2.2.1, RFC 3783 3.3, SPC-4 7.5.8",
            "An older version of a block overwrites the newer one, and stays.",
        ),
        Kind.REFUSED: _rule(
            5,
            "What the target said it had not written is not there",
            _DONE,
            "Who was told that a write was refused does not expect it to show up later.",
        ),
        Kind.CORRUPTION: _rule(
            6,
            "What is read with GOOD was written there, or was there before",
            _DONE,
            "Data that nobody wrote is handed up as good, and spreads into backups.",
        ),
        Kind.COMPARE: _rule(
            7,
            "A compare that is answered GOOD found what is there",
            "RFC 7143 11.4.2, SBC-3 5.3",
            "COMPARE AND WRITE is a lock of cluster file systems: two hosts hold it at once.",
        ),
    }
)

FAMILY = Family(name="disks", title="What disks hold", rules=tuple(KINDS.values()))
