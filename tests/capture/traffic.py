"""Make up TCP connections that carry iSCSI: as segments, as tshark would give them, and as a pcap file for tshark.

Every packet is a `Shot` in a list, and it is up to a test to drop some, to repeat them or to put them in another order.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iscsiproxy.capture.tshark import ACK, FIN, RST, SYN, Segment
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import KEYS, command, data_in, login, response

__all__ = ["CLIENT", "SERVER", "Shot", "Tcp", "dialogue", "pcap", "segments"]

CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 3260)

_PSH = 0x08
_ETHERNET, _VLAN, _IPV4, _IPV6, _TCP = 1, 0x8100, 0x0800, 0x86DD, 6
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One packet. `stream` is the number of its connection in the capture, as tshark will count."""

    source: tuple[str, int]
    destination: tuple[str, int]
    seq: int
    ack: int
    flags: int
    payload: bytes = b""
    stream: int = 0
    interface: str = ""
    comments: tuple[str, ...] = ()


class Tcp:
    """One TCP connection; its shots are collected in `shots`, or in the list given."""

    def __init__(
        self,
        client: tuple[str, int] = CLIENT,
        server: tuple[str, int] = SERVER,
        *,
        first: tuple[int, int] = (1000, 5000),
        stream: int = 0,
        interface: str = "",
        shots: list[Shot] | None = None,
    ) -> None:
        self.shots: list[Shot] = [] if shots is None else shots
        self._ends = {End.INITIATOR: client, End.TARGET: server}
        self._next = dict(zip(End, first, strict=True))
        self._stream = stream
        self._interface = interface

    def shot(self, sender: End, payload: bytes = b"", flags: int = ACK, comments: Sequence[str] = ()) -> Shot:
        """Have `sender` send a packet."""
        shot = Shot(
            source=self._ends[sender],
            destination=self._ends[sender.other],
            seq=self._next[sender] & _WORD,
            ack=self._next[sender.other] & _WORD if flags & ACK else 0,
            flags=flags | (_PSH if payload else 0),
            payload=payload,
            stream=self._stream,
            interface=self._interface,
            comments=tuple(comments),
        )
        self._next[sender] += len(payload) + bool(flags & (SYN | FIN))
        self.shots.append(shot)
        return shot

    def open(self) -> None:
        """Shake hands."""
        self.shot(End.INITIATOR, flags=SYN)
        self.shot(End.TARGET, flags=SYN | ACK)
        self.shot(End.INITIATOR)

    def send(self, sender: End, data: bytes | Pdu, *, mss: int = 1 << 16, comments: Sequence[str] = ()) -> list[Shot]:
        """Send bytes in packets of at most `mss`, which the other end acknowledges."""
        raw = data.raw if isinstance(data, Pdu) else data
        sent = [
            self.shot(sender, raw[at : at + mss], comments=() if at else comments) for at in range(0, len(raw), mss)
        ]
        self.shot(sender.other)
        return sent

    def talk(self, *pdus: Pdu, mss: int = 1 << 16) -> None:
        """Send PDUs, each from the end that sends such a one."""
        for pdu in pdus:
            self.send(pdu.sender, pdu, mss=mss)

    def fin(self, sender: End, comments: Sequence[str] = ()) -> None:
        """End one direction."""
        self.shot(sender, flags=FIN | ACK, comments=comments)
        self.shot(sender.other)

    def rst(self, sender: End, comments: Sequence[str] = ()) -> None:
        """Reset the connection."""
        self.shot(sender, flags=RST | ACK, comments=comments)

    def close(self) -> None:
        """Have the initiator end, then the target."""
        self.fin(End.INITIATOR)
        self.fin(End.TARGET)


def dialogue(*, rounds: int = 3, size: int = 512, header: bool = False, data: bool = False) -> list[Pdu]:
    """Write a session: a login, and so many times a READ and a WRITE of `size` bytes, with digests if asked for."""
    keys = (f"HeaderDigest={'CRC32C' if header else 'None'}", f"DataDigest={'CRC32C' if data else 'None'}")
    pdus = [
        login(*KEYS, *keys),
        login(*keys, opcode=Opcode.LOGIN_RESPONSE, TSIH=1, ExpCmdSN=1, MaxCmdSN=32),
    ]
    for itt in range(1, rounds + 1):
        block = bytes([itt & 0xFF]) * size
        said = (command(itt), data_in(itt, block), command(1000 + itt, block), response(1000 + itt))
        pdus += [pdu.sealed(header=header, data=data) for pdu in said]
    return pdus


def segments(shots: Iterable[Shot], *, snap: int | None = None) -> list[Segment]:
    """Give packets as tshark would give them, a millisecond apart; of each payload at most `snap` bytes."""
    return [
        Segment(
            at=number / 1000,
            frame=number + 1,
            stream=shot.stream,
            flags=shot.flags,
            seq=shot.seq,
            ack=shot.ack,
            length=len(shot.payload),
            source=(shot.source[0].encode(), shot.source[1]),
            destination=(shot.destination[0].encode(), shot.destination[1]),
            interface=shot.interface,
            comments=shot.comments,
            payload=shot.payload[:snap],
        )
        for number, shot in enumerate(shots)
    ]


def pcap(
    shots: Iterable[Shot], *, snap: int = 1 << 18, vlan: int | None = None, times: Sequence[float] | None = None
) -> bytes:
    """Give packets as a pcap file with Ethernet frames, of which `snap` bytes were captured.

    They are a millisecond apart, or come at `times`, in seconds.
    """
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap, _ETHERNET)]
    for number, shot in enumerate(shots):
        frame = _frame(shot, vlan)
        micros = number * 1000 if times is None else round(times[number] * 1e6)
        seconds = 1_700_000_000 + micros // 1_000_000
        parts.append(struct.pack("<IIII", seconds, micros % 1_000_000, min(snap, len(frame)), len(frame)))
        parts.append(frame[:snap])
    return b"".join(parts)


def _frame(shot: Shot, vlan: int | None) -> bytes:
    (own, port), (other, other_port) = shot.source, shot.destination
    source, destination = ipaddress.ip_address(own).packed, ipaddress.ip_address(other).packed
    tcp = struct.pack(">HHIIBBHHH", port, other_port, shot.seq, shot.ack, 5 << 4, shot.flags, 0xFFFF, 0, 0)
    tcp += shot.payload
    if len(source) == 16:
        kind = _IPV6
        ip = struct.pack(">IHBB16s16s", 6 << 28, len(tcp), _TCP, 64, source, destination)
    else:
        kind = _IPV4
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, _TCP, 0, source, destination)
    tag = b"" if vlan is None else struct.pack(">HH", _VLAN, vlan)
    return bytes(12) + tag + struct.pack(">H", kind) + ip + tcp
