"""An initiator for the target's core that watches every PDU it gets.

`Initiator` is one connection: it builds PDUs with the right numbers, feeds them, and collects what comes. `Watch` is
what it knows of the rules for a target's PDUs (RFC 7143 4.2.2, 11), on its own: whatever a test is about, each PDU that
it gets is held against them. What the initiator itself does wrong is the test's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import sense_of_segment
from iscsiproxy.wire.text import encode_text, parse_text

__all__ = [
    "BLOCK",
    "IQN",
    "PORTAL",
    "Initiator",
    "Session",
    "Watch",
    "build",
    "device",
    "node",
    "one",
    "pattern",
    "read_cdb",
    "sense",
    "write_cdb",
]

IQN = "iqn.2026-01.example:disk"
PORTAL = "192.0.2.1:3260"
BLOCK = 512
#: What RFC 7143 13 has where nothing is said.
DEFAULTS = {"MaxBurstLength": "262144", "FirstBurstLength": "65536", "MaxOutstandingR2T": "1"}
#: PDUs that take a StatSN whatever is in them (RFC 7143 4.2.2.2); NOP-In and Data-In do with an ITT and with S.
STATUS = {0x21, 0x22, 0x23, 0x24, 0x26, 0x32, 0x3F}
#: What answers which request.
ANSWERS = {0x00: {0x20}, 0x01: {0x21, 0x25, 0x31}, 0x02: {0x22}, 0x04: {0x24}, 0x06: {0x26}}
NUMBERED = set(ANSWERS)


def device(*luns: int, blocks: int = 2048) -> Device:
    """Make disks in memory."""
    return Device(
        {
            lun: LogicalUnit(lun, MemoryMedium(blocks), UnitIdentity.derive(IQN, lun), target_name=IQN)
            for lun in luns or (0,)
        }
    )


def node(*luns: int, conduct: Conduct | None = None, **settings: Any) -> Node:
    """Make a target with disks of these numbers."""
    return Node({IQN: device(*luns)}, TargetSettings(**settings), conduct)


def pattern(blocks: int, seed: int = 1) -> bytes:
    """Make blocks of which each is unlike its neighbours and those of other seeds."""
    return b"".join(bytes([seed & 0xFF, at & 0xFF, at >> 8, 0xA5]) * (BLOCK // 4) for at in range(blocks))


def read_cdb(lba: int, blocks: int) -> bytes:
    return b"\x28\0" + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"


def write_cdb(lba: int, blocks: int) -> bytes:
    return b"\x2a\0" + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"


def build(opcode: int, fields: Mapping[str, int], data: bytes = b"") -> Pdu:
    return Pdu.build(opcode, data).with_fields(fields)


def sense(response: Pdu) -> str:
    """Give the status of a SCSI Response, or its sense code if it is CHECK CONDITION."""
    if response.opcode == Opcode.DATA_IN or response["Status"] != 2:
        return f"{response['Status']:02x}"
    told = sense_of_segment(response.data)
    assert told is not None
    return str(told.code)


def one(pdus: list[Pdu]) -> Pdu:
    """Give the only PDU there is."""
    assert len(pdus) == 1, pdus
    return pdus[0]


@dataclass
class Session:
    """What outlives a connection: the next CmdSN, and the window as it was seen last."""

    cmdsn: int
    tsih: int = 0
    exp: int = 0
    max: int = 0
    started: bool = False


@dataclass
class Asked:
    """A request of ours that is not answered: how far its data has gone."""

    pdu: Pdu
    received: int = 0
    data_sn: int = 0
    in_burst: int = 0
    r2tsn: int = 0
    asked: int = 0
    open: dict[int, Pdu] = field(default_factory=dict)


class Watch:
    """The rules for what a target sends on one connection."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.statsn: int | None = None
        self.keys: dict[str, str] = {}
        self.segment = 8192
        self.digests = (False, False)
        self.asked: dict[int, Asked] = {}
        self.tags: set[int] = set()

    def number(self, key: str) -> int:
        return int(self.keys.get(key, DEFAULTS.get(key, "0")))

    def sent(self, pdu: Pdu) -> None:
        """Take note of a PDU of ours."""
        opcode = pdu.opcode
        if opcode in NUMBERED and pdu["ITT"] != NO_TAG:
            self.asked.setdefault(pdu["ITT"], Asked(pdu, asked=len(pdu.data)))
        elif opcode == Opcode.DATA_OUT and pdu["ITT"] in self.asked:
            ours = self.asked[pdu["ITT"]]
            if pdu["TTT"] == NO_TAG:
                ours.asked = max(ours.asked, pdu["BufferOffset"] + len(pdu.data))
            elif pdu["F"]:
                ours.open.pop(pdu["TTT"], None)

    def got(self, pdu: Pdu) -> None:
        """Hold a PDU of the target against the rules."""
        opcode = pdu.opcode
        self.check_reserved(pdu)
        login = opcode == Opcode.LOGIN_RESPONSE
        if login and pdu["Status-Class"]:
            assert (pdu["StatSN"], pdu["ExpCmdSN"], pdu["MaxCmdSN"], pdu["T"]) == (0, 0, 0, 0)
            return
        header, data = (False, False) if login else self.digests
        assert bool(pdu.header_digest) == header
        assert bool(pdu.data_digest) == (data and bool(pdu.data))
        assert pdu.header_digest_ok() is not False
        assert pdu.data_digest_ok() is not False
        self.check_numbers(pdu)
        assert login or len(pdu.data) <= self.segment, f"{len(pdu.data)} bytes, {self.segment} are allowed"
        match opcode:
            case Opcode.DATA_IN:
                self.check_data_in(pdu)
            case Opcode.R2T:
                self.check_r2t(pdu)
            case Opcode.SCSI_RESPONSE:
                self.check_response(pdu)
            case Opcode.REJECT:
                self.check_reject(pdu)
            case Opcode.NOP_IN if pdu["ITT"] == NO_TAG:
                assert pdu["TTT"] not in self.tags
                assert not pdu.data
            case Opcode.ASYNC | Opcode.LOGIN_RESPONSE:
                pass
            case _:
                ours = self.asked.pop(pdu["ITT"])
                assert opcode in ANSWERS[ours.pdu.opcode]
                if opcode == Opcode.NOP_IN:
                    assert pdu["TTT"] == NO_TAG
                    assert pdu.data == ours.pdu.data[: self.segment]

    def check_reserved(self, pdu: Pdu) -> None:
        """Nothing is set that has no meaning (RFC 7143 11)."""
        opcode = pdu.opcode
        rest = pdu.with_fields({name: 0 for name in pdu.fields if name != "Opcode"})
        assert not any(rest.bhs[1:]), f"reserved bits in {pdu.bhs.hex()}"
        assert not pdu.bhs[0] & 0xC0
        assert not any(pdu.pad)
        assert not pdu.ahs
        assert pdu["DataSegmentLength"] == len(pdu.data)
        if opcode not in (Opcode.DATA_IN, Opcode.TEXT_RESPONSE, Opcode.LOGIN_RESPONSE):
            assert pdu["F"] == 1
        if opcode in (Opcode.DATA_IN, Opcode.TEXT_RESPONSE, Opcode.NOP_IN) and pdu["TTT"] == NO_TAG:
            assert pdu["LUN"] == 0
        if opcode in (Opcode.ASYNC, Opcode.REJECT):
            assert pdu["ITT"] == NO_TAG
        if opcode in (Opcode.TMF_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.R2T):
            assert not pdu.data
        if opcode == Opcode.DATA_IN and not pdu["S"]:
            assert (pdu["StatSN"], pdu["Status"], pdu["O"], pdu["U"], pdu["ResidualCount"]) == (0, 0, 0, 0, 0)
        if opcode == Opcode.TEXT_RESPONSE:
            assert pdu["F"] == 0 or pdu["TTT"] == NO_TAG
            assert not (pdu["F"] and pdu["C"])

    def check_numbers(self, pdu: Pdu) -> None:
        """StatSN goes up by one with each status, MaxCmdSN never down, ExpCmdSN not past what we sent."""
        opcode = pdu.opcode
        if opcode != Opcode.DATA_IN or pdu["S"]:
            assert self.statsn in (None, pdu["StatSN"]), f"StatSN {pdu['StatSN']}, expected {self.statsn}"
            takes = opcode in STATUS or opcode == Opcode.DATA_IN
            takes = takes or (opcode == Opcode.NOP_IN and pdu["ITT"] != NO_TAG)
            self.statsn = serial.add(pdu["StatSN"], int(takes))
        session, low, high = self.session, pdu["ExpCmdSN"], pdu["MaxCmdSN"]
        assert serial.ge(high, serial.add(low, -1))
        if session.started:
            assert serial.ge(low, session.exp), "ExpCmdSN has gone back"
            assert serial.ge(high, session.max), "MaxCmdSN has gone back"
        assert serial.le(low, session.cmdsn), "ExpCmdSN is past what was sent"
        session.exp, session.max, session.started = low, high, True

    def check_data_in(self, pdu: Pdu) -> None:
        ours = self.asked[pdu["ITT"]]
        command, length = ours.pdu, len(pdu.data)
        assert command["R"]
        assert pdu["TTT"] == NO_TAG
        assert (pdu["DataSN"], pdu["BufferOffset"], pdu["A"]) == (ours.data_sn, ours.received, 0)
        assert 0 < length <= command["EDTL"] - ours.received
        ours.data_sn += 1
        ours.received += length
        ours.in_burst += length
        burst = self.number("MaxBurstLength")
        assert ours.in_burst <= burst
        assert not pdu["S"] or pdu["F"]
        assert pdu["F"] or ours.in_burst < burst
        assert pdu["F"] or length % 4 == 0
        if pdu["F"]:
            ours.in_burst = 0
        if pdu["S"]:
            assert pdu["Status"] in (0, 4)
            self.check_residual(pdu, ours)
            del self.asked[pdu["ITT"]]

    def check_residual(self, pdu: Pdu, ours: Asked) -> None:
        command = ours.pdu
        assert not (pdu["O"] and pdu["U"])
        assert bool(pdu["ResidualCount"]) == bool(pdu["O"] or pdu["U"])
        if command["R"] and not command["W"] and pdu["Status"] == 0:
            assert ours.received == command["EDTL"] - (pdu["ResidualCount"] if pdu["U"] else 0)
            assert not ours.in_burst

    def check_r2t(self, pdu: Pdu) -> None:
        ours = self.asked[pdu["ITT"]]
        command, length = ours.pdu, pdu["DesiredDataTransferLength"]
        assert command["W"]
        assert pdu["LUN"] == command["LUN"]
        assert pdu["TTT"] != NO_TAG
        assert pdu["TTT"] not in self.tags, "a Target Transfer Tag a second time"
        self.tags.add(pdu["TTT"])
        assert (pdu["R2TSN"], pdu["BufferOffset"]) == (ours.r2tsn, ours.asked)
        assert 0 < length <= self.number("MaxBurstLength")
        assert ours.asked + length <= command["EDTL"]
        ours.r2tsn += 1
        ours.asked += length
        ours.open[pdu["TTT"]] = pdu
        assert len(ours.open) <= self.number("MaxOutstandingR2T")

    def check_response(self, pdu: Pdu) -> None:
        ours = self.asked.pop(pdu["ITT"])
        assert not ours.open, "a status while data is still asked for"
        assert pdu["ExpDataSN"] == ours.data_sn
        assert (pdu["Response"], pdu["o"], pdu["u"], pdu["BidirectionalReadResidualCount"]) == (0, 0, 0, 0)
        assert (pdu["SNACKTag"], pdu["StatusQualifier"]) == (0, 0)
        assert bool(pdu.data) == (pdu["Status"] == 2)
        if pdu.data:
            assert int.from_bytes(pdu.data[:2], "big") == len(pdu.data) - 2
        self.check_residual(pdu, ours)

    def check_reject(self, pdu: Pdu) -> None:
        assert len(pdu.data) >= 48
        assert pdu["DataSN"] == 0
        for tag, ours in list(self.asked.items()):
            if ours.pdu.bhs == pdu.data[:48]:
                del self.asked[tag]


class Initiator:
    """One connection to a node; `send` gives what comes back, each PDU watched.

    `session` is that of an earlier connection that this one takes the place of.
    """

    def __init__(
        self, node: Node, *, isid: int = 1, session: Session | None = None, cmdsn: int = 100, cid: int = 7
    ) -> None:
        self.node = node
        self.isid = isid
        self.cid = cid
        self.session = session or Session(cmdsn)
        self.connection = node.accept(PORTAL)
        self.watch = Watch(self.session)
        self.itt = 0x1000

    def __repr__(self) -> str:
        return f"<Initiator {self.isid} {self.connection!r}>"

    # --- the wire ---

    def send(self, *pdus: Pdu, bad_header: bool = False, bad_data: bool = False) -> list[Pdu]:
        """Feed PDUs, with digests where there have to be some, and collect what comes."""
        for pdu in pdus:
            self.feed(pdu, bad_header=bad_header, bad_data=bad_data)
        return self.collect()

    def feed(self, pdu: Pdu, *, bad_header: bool = False, bad_data: bool = False) -> None:
        self.watch.sent(pdu)
        header, data = self.connection.receive_digests
        pdu = pdu.sealed(header=header or bad_header, data=data or bad_data)
        wrong = b"\xde\xad\xbe\xef"
        pdu = pdu.with_parts(
            header_digest=wrong if bad_header else None, data_digest=wrong if bad_data and pdu.data else None
        )
        self.connection.receive(pdu)

    def collect(self) -> list[Pdu]:
        """Take all there is to take."""
        got = []
        while (pdu := self.connection.next_pdu()) is not None:
            self.watch.got(pdu)
            got.append(pdu)
        return got

    def lose(self) -> None:
        """Cut the connection."""
        self.connection.lost()
        assert self.connection.closed
        assert self.connection.next_pdu() is None

    # --- login ---

    def login_request(self, keys: Mapping[str, str] | None = None, *, target: str | None = IQN, **fields: int) -> Pdu:
        """Build a whole login in one request."""
        pairs = {"InitiatorName": "iqn.2026-01.example:host"}
        pairs |= {"SessionType": "Discovery"} if target is None else {"SessionType": "Normal", "TargetName": target}
        values = {"I": 1, "T": 1, "CSG": 1, "NSG": 3, "ISID": self.isid, "TSIH": self.session.tsih, "ITT": 1}
        values |= {"CID": self.cid, "CmdSN": self.session.cmdsn}
        text = encode_text((pairs | dict(keys or {})).items())
        return build(Opcode.LOGIN_REQUEST, values | fields, text)

    def log_in(self, keys: Mapping[str, str] | None = None, *, target: str | None = IQN) -> Pdu:
        """Log in with these keys; the watch takes over what was agreed."""
        offer = {"MaxRecvDataSegmentLength": "262144"} | dict(keys or {})
        response = one(self.send(self.login_request(offer, target=target)))
        assert (response["Status-Class"], response["T"], response["NSG"]) == (0, 1, 3)
        self.began(response, offer)
        return response

    def began(self, response: Pdu, offer: Mapping[str, str]) -> None:
        answers = dict(parse_text(response.data))
        own = answers.pop("MaxRecvDataSegmentLength", None)
        assert own is None or self.connection.receive_segment == int(own)
        self.watch.segment = int(offer.get("MaxRecvDataSegmentLength", "8192"))
        self.watch.keys |= {key: value for key, value in answers.items() if value not in ("Reject", "Irrelevant")}
        self.watch.digests = (answers.get("HeaderDigest") == "CRC32C", answers.get("DataDigest") == "CRC32C")
        assert self.connection.receive_digests == self.watch.digests
        self.session.tsih = response["TSIH"]
        assert response["TSIH"]

    def start(self, keys: Mapping[str, str] | None = None, *luns: int) -> Initiator:
        """Log in and take the unit attentions of a new nexus."""
        self.log_in(keys)
        for lun in luns or (0,):
            assert sense(one(self.send(self.ready(lun=lun)))).startswith("6/29/")
        return self

    # --- building ---

    def tag(self) -> int:
        self.itt += 1
        return self.itt

    def numbers(self, fields: Mapping[str, int]) -> dict[str, int]:
        """Give ITT, CmdSN and ExpStatSN for the next request, unless they are given."""
        values = {"CmdSN": self.session.cmdsn, "ExpStatSN": self.watch.statsn or 0}
        if "ITT" not in fields:
            values["ITT"] = self.tag()
        if not fields.get("I") and "CmdSN" not in fields:
            self.session.cmdsn = serial.add(self.session.cmdsn, 1)
        return values | dict(fields)

    def command(self, cdb: bytes, data: bytes = b"", *, ahs: bytes = b"", lun: int = 0, **fields: int) -> Pdu:
        values = {"F": 1, "ATTR": 1} | self.numbers(fields)
        values |= {"LUN": lun_value(lun)}
        return build(Opcode.SCSI_COMMAND, values, data).with_ahs(ahs).with_fields({"CDB": cdb[:16]})

    def ready(self, **fields: int) -> Pdu:
        """Build a TEST UNIT READY."""
        return self.command(bytes(6), b"", ahs=b"", **fields)

    def read(self, lba: int = 0, blocks: int = 1, **fields: int) -> Pdu:
        fields = {"R": 1, "EDTL": blocks * BLOCK} | fields
        return self.command(read_cdb(lba, blocks), b"", ahs=b"", **fields)

    def write(self, lba: int = 0, blocks: int = 1, data: bytes = b"", **fields: int) -> Pdu:
        """Build a WRITE with immediate `data`."""
        fields = {"W": 1, "EDTL": blocks * BLOCK} | fields
        return self.command(write_cdb(lba, blocks), data, ahs=b"", **fields)

    def data_out(self, itt: int, data: bytes = b"", **fields: int) -> Pdu:
        """Build a Data-Out, unsolicited unless `fields` say otherwise."""
        values = {"F": 1, "ITT": itt, "TTT": NO_TAG, "ExpStatSN": self.watch.statsn or 0} | fields
        return build(Opcode.DATA_OUT, values, data)

    def answer(self, r2t: Pdu, data: bytes, *, step: int = 1 << 20) -> list[Pdu]:
        """Build what answers an R2T out of the whole data of its command, in PDUs of `step` bytes."""
        start, length = r2t["BufferOffset"], r2t["DesiredDataTransferLength"]
        end = start + length
        return [
            self.data_out(
                r2t["ITT"],
                data[at : min(at + step, end)],
                F=int(at + step >= end),
                TTT=r2t["TTT"],
                LUN=r2t["LUN"],
                DataSN=number,
                BufferOffset=at,
            )
            for number, at in enumerate(range(start, end, step))
        ]

    def ping(self, data: bytes = b"", **fields: int) -> Pdu:
        values = {"I": 1, "F": 1, "TTT": NO_TAG} | fields
        return build(Opcode.NOP_OUT, values | self.numbers(values), data)

    def tmf(self, function: int, *, lun: int = 0, of: Pdu | None = None, **fields: int) -> Pdu:
        """Build an immediate task management request, `of` a command."""
        values = {"I": 1, "F": 1, "Function": function, "RefTaskTag": NO_TAG, "LUN": lun_value(lun)} | fields
        if of is not None:
            values |= {"RefTaskTag": of["ITT"], "RefCmdSN": of["CmdSN"], "LUN": of["LUN"]}
        return build(Opcode.TMF_REQUEST, values | self.numbers(values))

    def text(self, keys: Mapping[str, str] | None = None, **fields: int) -> Pdu:
        values = {"I": 1, "F": 1, "TTT": NO_TAG} | fields
        return build(Opcode.TEXT_REQUEST, values | self.numbers(values), encode_text((keys or {}).items()))

    def logout(self, reason: int = 0, **fields: int) -> Pdu:
        values = {"I": 1, "F": 1, "ReasonCode": reason, "CID": self.cid} | fields
        return build(Opcode.LOGOUT_REQUEST, values | self.numbers(values))

    # --- whole conversations ---

    def do(self, command: Pdu, data: bytes = b"") -> Pdu:
        """Carry a command through, answering its R2Ts out of `data`; give its status PDU. Nothing else comes."""
        todo, got = [command], []
        while todo:
            got += self.send(*todo)
            todo = [part for r2t in got if r2t.opcode == Opcode.R2T for part in self.answer(r2t, data)]
            got = [pdu for pdu in got if pdu.opcode != Opcode.R2T]
        assert all(pdu["ITT"] == command["ITT"] for pdu in got)
        return got[-1]

    def contents(self, lba: int, blocks: int = 1) -> bytes:
        """Read blocks."""
        pdus = self.send(self.read(lba, blocks))
        assert sense(pdus[-1]) == "00"
        return b"".join(pdu.data for pdu in pdus)

    def alive(self) -> bool:
        """Tell whether a ping comes back, and nothing else."""
        ping = self.ping(b"alive?")
        got = self.send(ping)
        return [(pdu.opcode, pdu["ITT"]) for pdu in got] == [(Opcode.NOP_IN, ping["ITT"])]
