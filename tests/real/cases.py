"""What a shown row of the catalogue is made of: rules, the traffic that meets them, and a check."""

from __future__ import annotations

from dataclasses import dataclass

from tests.real.address import Chap
from tests.real.catalogued import Traffic, qemu_io
from tests.real.evidence import Check

__all__ = [
    "DEEP",
    "DIGESTS",
    "IO",
    "SECRET",
    "SHORT",
    "STUCK",
    "UNDECIDED",
    "WRITE",
    "WRITTEN",
    "Case",
    "rule",
    "rules",
]

WRITE_AND_READ = ("write -P 0x11 0 64k", "read -P 0x11 0 64k")
#: One write of 8 KiB immediate and seven Data-Outs, and one read.
IO = Traffic(name="io", drive=qemu_io(*WRITE_AND_READ))
#: The same of an initiator that waits for an answer which never comes, and has to be ended.
STUCK = Traffic(name="stuck", drive=qemu_io(*WRITE_AND_READ, within=2.5))
#: The same with eight Data-Ins where there was one.
SHORT = Traffic(name="short", drive=qemu_io(*WRITE_AND_READ), told={"MaxRecvDataSegmentLength": "8192"})
#: The same under header digests, and where target and initiator could but do not agree on them.
DIGESTS = Traffic(
    name="digests", drive=qemu_io(*WRITE_AND_READ, header_digest="crc32c"), parameters={"HeaderDigest": "CRC32C"}
)
UNDECIDED = Traffic(
    name="undecided", drive=qemu_io("write -P 0x11 0 4k", "read -P 0x11 0 4k"), parameters={"HeaderDigest": "CRC32C"}
)
#: A login that has to be proven.
SECRET = Traffic(name="secret", drive=qemu_io("read 0 4k"), chap=Chap())
#: Four reads at once.
DEEP = Traffic(
    name="deep",
    drive=qemu_io("write -P 0x11 0 16k", *(f"aio_read {4 * n}k 4k" for n in range(4)), "aio_flush", within=2.5),
)

#: The response to the write.
WRITTEN = "SCSI-Response where task.EDTL == 65536 nth 1"
#: The write itself.
WRITE = "SCSI-Command where W nth 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of the catalogue: the rules that make it happen, the traffic that meets them, and what must be seen."""

    row: str
    rules: str
    check: Check
    traffic: Traffic = IO
    #: What the victim was seen to do.
    saw: str = ""


def rules(*each: str) -> str:
    """Write rules, each `{when: …, do: …}` or the lines of one."""
    return "rules:\n" + "".join(f"  - {one}\n" for one in each)


def rule(when: str, do: str) -> str:
    """Write one rule."""
    return rules(f"when: {when}\n    do: {do}")
