"""The capture of a run, read by tshark, is the journal of it field for field, on each leg and in each direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from iscsiproxy.journal import Delivered, Received, Record, read
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.real import initiators, tshark
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "qemu", "tshark")

#: Fields by tshark's names and ours
_FIELDS: Mapping[str, str] = {
    "iscsi.opcode": "Opcode",
    "iscsi.I": "I",
    "iscsi.totalahslength": "TotalAHSLength",
    "iscsi.datasegmentlength": "DataSegmentLength",
    "iscsi.initiatortasktag": "ITT",
    "iscsi.targettransfertag": "TTT",
    "iscsi.cmdsn": "CmdSN",
    "iscsi.expstatsn": "ExpStatSN",
    "iscsi.statsn": "StatSN",
    "iscsi.expcmdsn": "ExpCmdSN",
    "iscsi.maxcmdsn": "MaxCmdSN",
    "iscsi.datasn": "DataSN",
    "iscsi.r2tsn": "R2TSN",
    "iscsi.expdatasn": "ExpDataSN",
    "iscsi.bufferOffset": "BufferOffset",
    "iscsi.desireddatalength": "DesiredDataTransferLength",
    "iscsi.scsicommand.expecteddatatransferlength": "EDTL",
    "iscsi.scsicommand.F": "F",
    "iscsi.scsicommand.R": "R",
    "iscsi.scsicommand.W": "W",
    "iscsi.scsicommand.attr": "ATTR",
    "iscsi.scsidata.F": "F",
    "iscsi.scsidata.A": "A",
    "iscsi.scsidata.S": "S",
    "iscsi.scsiresponse.response": "Response",
    "iscsi.scsiresponse.status": "Status",
    "iscsi.scsiresponse.residualcount": "ResidualCount",
    "iscsi.login.T": "T",
    "iscsi.login.C": "C",
    "iscsi.login.csg": "CSG",
    "iscsi.login.nsg": "NSG",
    "iscsi.tsih": "TSIH",
    "iscsi.cid": "CID",
}


def _compared(shown: tshark.Pdu, pdu: Pdu) -> int:
    """Hold one PDU as tshark shows it against the journal's; give how many fields were compared."""
    compared = 0
    for theirs, ours in _FIELDS.items():
        number = shown.number(theirs)
        if number is None or (ours != "Opcode" and ours not in pdu.fields):
            continue
        value = int(pdu.opcode) if ours == "Opcode" else int(pdu[ours])
        assert number == value, (
            f"{shown.name} in frame {shown.frame}: {theirs} is {number:#x}, the journal has {value:#x}"
        )
        compared += 1
    if pdu.opcode in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE):
        assert [one.partition("=")[0] for one in shown.keys] == [one.partition("=")[0] for one in _text(pdu)]
    return compared


def _text(pdu: Pdu) -> Sequence[str]:
    return [one.decode() for one in pdu.data.split(b"\0") if one]


@pytest.mark.parametrize("fault", ["data_out_lost", "cmdsn_duplicate_write", "data_out_in_small_pieces"])
async def test_tshark_shows_what_the_journal_has(fault: str, tmp_path: Path) -> None:
    journal, capture = tmp_path / "journal.jsonl", tmp_path / "capture.pcapng"
    recorded = ("--journal", str(journal), "--capture", str(capture), "--faults", fault)
    async with running_tgtd() as tgtd, running_proxy(f"{tgtd.host}:{tgtd.port}", *recorded) as proxy:
        address = tgtd.address(host=proxy.host, port=proxy.port)
        await initiators.qemu_io(address, "write -P 0x5a 0 256k", "read -P 0x5a 0 256k", within=10.0)
        await proxy.stop()
        ports = (proxy.port, tgtd.port)
    frames = await tshark.read(capture, ports=ports)
    records = [one for one in read(journal) if isinstance(one.entry, Received | Delivered)]
    fields = 0
    for leg in End:
        port = ports[0] if leg is End.INITIATOR else ports[1]
        for to_server in (True, False):
            shown = [
                pdu
                for frame in frames
                if frame.interface == f"{leg} leg" and (frame.destination == port) is to_server
                for pdu in frame.pdus
            ]
            kept = [one for one in records if _passes(one, leg, from_initiator=to_server)]
            assert len(shown) == len(kept)
            assert kept
            fields += sum(_compared(one, _pdu(other)) for one, other in zip(shown, kept, strict=True))
    assert fields > 1000


def _pdu(record: Record) -> Pdu:
    assert record.pdu is not None
    return record.pdu


def _passes(record: Record, leg: End, *, from_initiator: bool) -> bool:
    """Tell whether a PDU went over that leg in that direction: what a peer sends is received, the rest delivered."""
    entry = record.entry
    assert isinstance(entry, Received | Delivered)
    return entry.leg is leg and (isinstance(entry, Received) == (from_initiator == (leg is End.INITIATOR)))
