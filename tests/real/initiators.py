"""Real initiators: libiscsi's tools and QEMU's, each a function of the address of a LUN.

Every program has a deadline. A function returns what came of it, whatever that was; `.check()` raises unless it
succeeded. Those that read more out of the output say what.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.real import cunit
from tests.real.address import Address
from tests.real.process import Finished, ProgramError, run

__all__ = [
    "Listed",
    "Perf",
    "bench",
    "compliance",
    "compliance_tests",
    "inquiry",
    "pattern",
    "perf",
    "qemu_img",
    "qemu_io",
    "readcapacity16",
    "targets",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A target as SendTargets named it: its IQN and portal, without the portal group tag."""

    iqn: str
    portal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Perf:
    """What `iscsi-perf` measured: the average of all its seconds."""

    finished: Finished
    iops: int
    mib_per_second: int


async def targets(address: Address, *, luns: bool = False, within: float = 10.0) -> tuple[Finished, list[Listed]]:
    """Discover targets with `iscsi-ls`. With `luns` it also logs in to each and prints its LUNs.

    That login goes to the address that SendTargets told, wherever that is.
    """
    finished = await run("iscsi-ls", *(["-s"] if luns else []), address.discovery_url, within=within)
    found = re.findall(r"^Target:(\S+) Portal:(\S+),\d+$", finished.stdout, re.MULTILINE)
    return finished, [Listed(iqn=iqn, portal=portal) for iqn, portal in found]


async def inquiry(address: Address, *, within: float = 10.0) -> Finished:
    """Log in and send an INQUIRY with `iscsi-inq`."""
    return await run("iscsi-inq", address.url, within=within)


async def readcapacity16(address: Address, *, within: float = 10.0) -> Finished:
    """Log in and ask the size with `iscsi-readcapacity16`."""
    return await run("iscsi-readcapacity16", address.url, within=within)


async def compliance(address: Address, tests: str = "ALL", *, within: float = 180.0) -> tuple[Finished, cunit.Suite]:
    """Run `iscsi-test-cu`, which writes all over the LUN, and read its results.

    `tests` is `FAMILY[.SUITE[.TEST]]`; where nothing has that name nothing runs, and the program is content. Its
    status is 1 where a test failed. `-V` prints every SCSI command, 8 MB for the whole suite, and is needed: without
    it some tests skip themselves in silence. Output is line-buffered, so that a run which hangs tells where.
    """
    command = ("iscsi-test-cu", "-d", "-V", "-t", tests, address.url)
    finished = await run("stdbuf", "-oL", *command, within=within)
    return finished, cunit.parse(finished.stdout)


async def compliance_tests(family: str = "ALL") -> list[str]:
    """List the tests that `iscsi-test-cu` has, as `Suite.Test`."""
    return cunit.listed((await run("iscsi-test-cu", "-l")).check().stdout, family)


async def perf(
    address: Address, *, depth: int = 1, blocks: int = 8, seconds: int = 1, random: bool = False, within: float = 30.0
) -> Perf:
    """Read for whole seconds with `iscsi-perf`: `depth` commands at a time, of `blocks` blocks each.

    It cannot write. Raises `ProgramError` where it fails or measures nothing.
    """
    options = ["-m", str(depth), "-b", str(blocks), "-t", str(seconds), *(["-r"] if random else [])]
    finished = (await run("iscsi-perf", *options, address.url, within=within)).check()
    average = re.search(r"iops average (\d+) \((\d+) MB/s\)", finished.stdout)
    if average is None:
        raise ProgramError(f"iscsi-perf measured nothing:\n{finished.output[-2000:]}")
    return Perf(finished=finished, iops=int(average[1]), mib_per_second=int(average[2]))


async def qemu_io(address: Address, *commands: str, header_digest: str | None = None, within: float = 30.0) -> Finished:
    """Run qemu-io commands on the LUN, as in `"write -P 0xa5 0 64k"`.

    It ends with status 1 where a read failed or did not verify. `header_digest` is that of `Address.image_opts`;
    without it QEMU offers none.
    """
    orders = [word for command in commands for word in ("-c", command)]
    return await run("qemu-io", *orders, *address.image_opts(header_digest=header_digest), within=within)


async def pattern(
    address: Address,
    *,
    offset: int = 0,
    length: int = 65536,
    byte: int = 0xA5,
    header_digest: str | None = None,
    within: float = 30.0,
) -> Finished:
    """Write a pattern, read it back and compare."""
    place = f"-P {byte:#04x} {offset} {length}"
    return await qemu_io(address, f"write {place}", f"read {place}", header_digest=header_digest, within=within)


async def qemu_img(*arguments: str, within: float = 60.0) -> Finished:
    """Run qemu-img with these arguments."""
    return await run("qemu-img", *arguments, within=within)


async def bench(
    address: Address, *, count: int, depth: int = 1, size: int = 4096, write: bool = False, within: float = 60.0
) -> float:
    """Do `count` reads or writes of `size` bytes, `depth` at a time, and return the seconds that they took.

    Logging in and out is not in the time, whose resolution is a millisecond. Offsets go up and wrap at the end of the
    LUN. Raises `ProgramError`.
    """
    options = [
        "-c",
        str(count),
        "-d",
        str(depth),
        "-s",
        str(size),
        *(["-w"] if write else []),
        "-t",
        "none",
        "-f",
        "raw",
    ]
    finished = (await qemu_img("bench", *options, address.url, within=within)).check()
    took = re.search(r"Run completed in ([0-9.]+) seconds", finished.stdout)
    if took is None:
        raise ProgramError(f"qemu-img bench measured nothing:\n{finished.output[-2000:]}")
    return float(took[1])
