"""A target that says what the test tells it to: the other end of a memory stream, PDU by PDU."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text, parse_text

__all__ = ["SETTINGS", "TARGET", "Script", "answered", "login_response", "scripted"]

TARGET = "iqn.2026-01.example.iscsiproxy:scripted"
#: No clock in a test but the one it asks for.
SETTINGS = InitiatorSettings(target=TARGET, command_timeout=0, login_timeout=1e6, logout_timeout=1e6)

#: Keys that have no answer: what an initiator says of itself.
_DECLARATIVE = {
    *("InitiatorName", "InitiatorAlias", "TargetName", "SessionType", "MaxRecvDataSegmentLength"),
}


def answered(offers: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Answer every offer with its first value, or as `changes` says; an empty change leaves the key out."""
    answers = {key: value.split(",")[0] for key, value in offers.items() if key not in _DECLARATIVE}
    return {key: value for key, value in {**answers, **changes}.items() if value}


def login_response(request: Pdu, keys: Mapping[str, str] | None = None, **fields: int) -> Pdu:
    """Answer a Login Request as it wants: same stages, status 0; the final one has TSIH 7."""
    final = bool(request["T"]) and request["NSG"] == 3
    values: dict[str, int | bytes] = {
        "T": request["T"],
        "CSG": request["CSG"],
        "NSG": request["NSG"],
        "ISID": request["ISID"],
        "TSIH": 7 if final else 0,
        "ITT": request["ITT"],
        "StatSN": 0,
        "ExpCmdSN": request["CmdSN"],
        "MaxCmdSN": request["CmdSN"] + 31 & 0xFFFFFFFF,
    }
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    return Pdu.build(Opcode.LOGIN_RESPONSE, data=encode_text((keys or {}).items())).with_fields({**values, **names})


@dataclass
class Script:
    """The target's end. `receive` and `send` are what a test speaks with; digests are right without being asked for."""

    stream: PduStream
    statsn: int = 0
    exp_cmdsn: int = 1
    window: int = 32
    header_digest: bool = False
    data_digest: bool = False
    offers: dict[str, str] = field(default_factory=dict)

    async def log_in(self, keys: Mapping[str, str]) -> None:
        """Answer a login of one request."""
        request = await self.receive()
        self.offers = dict(parse_text(request.data))
        self.exp_cmdsn = request["CmdSN"]
        answers = answered(self.offers, keys)
        await self.send(login_response(request, answers))
        self.header_digest = answers.get("HeaderDigest") == "CRC32C"
        self.data_digest = answers.get("DataDigest") == "CRC32C"
        self.stream.expect_digests(header=self.header_digest, data=self.data_digest)

    async def receive(self, opcode: int | None = None) -> Pdu:
        """Wait for the initiator's next PDU, which has to have this opcode and right digests."""
        pdu = await self.stream.receive()
        assert pdu is not None, "the initiator closed the connection"
        assert opcode is None or pdu.opcode == opcode, pdu
        assert pdu.header_digest_ok() is (True if self.header_digest else None)
        assert pdu.data_digest_ok() is (True if self.data_digest and pdu.data else None)
        if pdu.get("CmdSN") == self.exp_cmdsn and not pdu["I"] and pdu.opcode != Opcode.LOGIN_REQUEST:
            self.exp_cmdsn = self.exp_cmdsn + 1 & 0xFFFFFFFF
        return pdu

    async def closed(self) -> bool:
        """Tell whether the initiator has closed the connection, waiting for that or for a PDU."""
        return await self.stream.receive() is None

    def stamped(self, pdu: Pdu, *, advances: bool = True) -> Pdu:
        """Give a PDU the numbers of the next one."""
        numbers = {"StatSN": self.statsn, "ExpCmdSN": self.exp_cmdsn}
        numbers["MaxCmdSN"] = self.exp_cmdsn + self.window - 1 & 0xFFFFFFFF
        if advances:
            self.statsn = self.statsn + 1 & 0xFFFFFFFF
        return pdu.with_fields(numbers)

    async def send(self, pdu: Pdu, *, advances: bool = True) -> None:
        """Send a PDU as the next one."""
        await self.stream.send(
            [self.stamped(pdu, advances=advances).sealed(header=self.header_digest, data=self.data_digest)]
        )

    async def respond(self, command: Pdu, data: bytes = b"", **fields: int) -> None:
        """Send a SCSI Response."""
        await self.send(Pdu.build(Opcode.SCSI_RESPONSE, data=data, F=1, ITT=command["ITT"]).with_fields(fields))

    async def data_in(self, command: Pdu, data: bytes, *, status: bool = False, **fields: int) -> None:
        """Send a Data-In, with status GOOD if asked for."""
        values = {"F": 1, "S": int(status), "TTT": NO_TAG, **fields}
        await self.send(Pdu.build(Opcode.DATA_IN, data=data, ITT=command["ITT"]).with_fields(values), advances=status)

    async def r2t(self, command: Pdu, tag: int, number: int, offset: int, length: int) -> None:
        """Send an R2T."""
        await self.send(
            Pdu.build(
                Opcode.R2T,
                F=1,
                LUN=command["LUN"],
                ITT=command["ITT"],
                TTT=tag,
                R2TSN=number,
                BufferOffset=offset,
                DesiredDataTransferLength=length,
            ),
            advances=False,
        )

    async def log_out(self) -> Pdu:
        """Answer the Logout that has to be next."""
        request = await self.receive(Opcode.LOGOUT_REQUEST)
        await self.send(Pdu.build(Opcode.LOGOUT_RESPONSE, F=1, ITT=request["ITT"]))
        return request

    async def aclose(self) -> None:
        """Close the connection."""
        await self.stream.aclose()


@asynccontextmanager
async def scripted(
    settings: InitiatorSettings = SETTINGS, *, conduct: Conduct | None = None, **keys: str
) -> AsyncIterator[tuple[Session, Script]]:
    """Log an initiator in to a scripted target that answers its offers as `keys` says.

    At the end of the block the connection is closed from the target's side.
    """
    ours, theirs = trio.testing.memory_stream_pair()
    script = Script(PduStream(theirs, max_segment=1 << 24))

    async def connect() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.log_in, keys)
        async with open_session(connect, settings, conduct=conduct) as session:
            try:
                yield session, script
            finally:
                await script.aclose()
                await session.ended()
