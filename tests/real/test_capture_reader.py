"""Captures of real traffic, read back: what they tell is what the journal of the same run says."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from iscsiproxy.capture import read_capture
from iscsiproxy.journal import Record, read
from iscsiproxy.session.events import Closed, Connected, Delivered, FullFeature, Received
from iscsiproxy.wire.opcodes import End
from tests.real import initiators
from tests.real.address import Address
from tests.real.peers import program
from tests.real.process import kill, run
from tests.real.proxied import running_proxy
from tests.real.tgtd import LARGE_SEGMENTS, MIB, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu", "tshark")


@dataclass(slots=True)
class Said:
    """What was said on one connection, leg by leg."""

    received: dict[End, list[tuple[object, ...]]] = field(default_factory=lambda: {end: [] for end in End})
    delivered: dict[End, list[tuple[object, ...]]] = field(default_factory=lambda: {end: [] for end in End})
    keys: dict[End, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    ends: set[tuple[End, str, str]] = field(default_factory=set)


def said(records: Iterable[Record], *, by: str) -> dict[str, Said]:
    """Sort what records say by the address of the initiator, or another one."""
    found: dict[str, Said] = {}
    conns: dict[int, Said] = {}
    for record in records:
        entry = record.entry
        match entry:
            case Connected():
                conns[entry.conn] = found[getattr(entry, by)] = Said()
            case Received() | Delivered():
                said = conns[entry.conn]
                place = said.received if isinstance(entry, Received) else said.delivered
                place[entry.leg].append(_known(record))
            case FullFeature():
                conns[entry.conn].keys[entry.leg] = entry.keys
            case Closed():
                conns[entry.conn].ends.add((entry.leg, entry.how, entry.by))
            case _:
                pass
    return found


def _known(record: Record) -> tuple[object, ...]:
    """Give all that a journal knows of a PDU."""
    pdu = record.pdu
    assert pdu is not None
    return (
        pdu.bhs,
        pdu.ahs,
        pdu.header_digest,
        record.data_length,
        record.payload,
        pdu.data_digest,
        record.header_digest_ok,
        record.data_digest_ok,
    )


#: How many connections `load` makes
CONNECTIONS = 5


async def load(address: Address, *, header_digest: str | None) -> None:
    """Have real initiators read, write and discover, some of them at once."""
    (await initiators.pattern(address, length=2 * MIB, header_digest=header_digest)).check()
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(_pattern, address, number)
    (await initiators.inquiry(address)).check()


async def _pattern(address: Address, number: int) -> None:
    (await initiators.pattern(address, offset=number * MIB, length=MIB // 2, byte=number + 1)).check()


@pytest.mark.parametrize("digest", [None, "crc32c"])
async def test_our_own_capture_says_what_the_journal_says(tmp_path: Path, digest: str | None) -> None:
    journal, capture = tmp_path / "run.jsonl", tmp_path / "run.pcapng"
    parameters = {"HeaderDigest": "CRC32C"} if digest else LARGE_SEGMENTS
    async with (
        running_tgtd(parameters=parameters) as target,
        running_proxy(target, "--journal", str(journal), "--capture", str(capture)) as proxy,
    ):
        await load(target.address(host=proxy.host, port=proxy.port), header_digest=digest)
    with read(journal) as lines, read_capture(capture) as packets:
        told, found = said(lines, by="initiator"), said(packets, by="initiator")
    assert len(told) == CONNECTIONS
    assert found == told
    assert (packets.streams, packets.skipped, packets.gaps, packets.warnings) == (2 * CONNECTIONS, 0, 0, ())


@pytest.mark.parametrize("leg", End)
async def test_each_leg_alone_says_what_an_unarmed_proxy_would(tmp_path: Path, leg: End) -> None:
    journal, capture, one = tmp_path / "run.jsonl", tmp_path / "run.pcapng", tmp_path / "leg.pcap"
    async with (
        running_tgtd(parameters={"HeaderDigest": "CRC32C"}) as target,
        running_proxy(target, "--journal", str(journal), "--capture", str(capture)) as proxy,
    ):
        await load(target.address(host=proxy.host, port=proxy.port), header_digest="crc32c")
    # As pcap it has no names of interfaces and no comments left: it might be anybody's.
    number = list(End).index(leg)
    only = f"frame.interface_id == {number}"
    (await run("tshark", "-r", str(capture), "-Y", only, "-F", "pcap", "-w", str(one))).check()
    by = "initiator" if leg is End.INITIATOR else "local"
    with read(journal) as lines, read_capture(one) as packets:
        told, found = said(lines, by=by), said(packets, by="initiator")
    assert found == told


async def test_what_tcpdump_and_its_kin_capture_says_what_the_journal_says(tmp_path: Path) -> None:
    journal, capture = tmp_path / "run.jsonl", tmp_path / "run.pcapng"
    async with (
        running_tgtd(parameters={"HeaderDigest": "CRC32C"}) as target,
        running_proxy(target, "--journal", str(journal)) as proxy,
        dumping(capture, port=proxy.port, until=2 * CONNECTIONS),
    ):
        await load(target.address(host=proxy.host, port=proxy.port), header_digest="crc32c")
    with read(journal) as lines, read_capture(capture) as packets:
        told, found = said(lines, by="initiator"), said(packets, by="initiator")
    assert found == told
    assert packets.gaps == 0


async def _fins(path: Path) -> int:
    return len((await run("tshark", "-r", str(path), "-Y", "tcp.flags.fin == 1")).stdout.splitlines())


@asynccontextmanager
async def dumping(path: Path, *, port: int, until: int) -> AsyncIterator[None]:
    """Capture a port of the loopback interface, until so many FINs were.

    Without the rights for that the test is skipped; root has them, or something else is wrong.
    """
    command = (program("dumpcap"), "-i", "lo", "-f", f"tcp port {port}", "-B", "64", "-q", "-w", str(path))
    process = await trio.lowlevel.open_process(command, stdout=None, stderr=None)
    try:
        with trio.move_on_after(10):
            while process.poll() is None and not (path.exists() and path.stat().st_size):
                await trio.sleep(0.01)
        if process.poll() is not None:
            assert os.getuid() != 0, "root may not capture"
            pytest.skip("dumpcap may not capture for this user: that takes the group wireshark on most systems")
        yield
        with trio.fail_after(10):
            while await _fins(path) < until:
                await trio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        await process.wait()
    finally:
        await kill(process)
