"""Dress the bytes of a leg as the TCP connection they came through (RFC 9293, 791, 8200).

The proxy sees a stream, not segments. So the segments are made up, with the real addresses, ports and order of bytes,
and such that nobody who reads them finds fault: no gaps, no repeats, right acknowledgements and checksums, and windows
that never fill. Both ends acknowledge at once all that was sent before.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

__all__ = ["ACK", "FIN", "MAX_PAYLOAD", "PSH", "RST", "SYN", "Endpoint", "Stream", "endpoint", "payload_sum"]

#: The control bits used here (RFC 9293 3.1)
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
#: The bytes of the stream that one packet carries at most; an IP packet has no more than 65535
MAX_PAYLOAD = 60 << 10

_WORD = 0xFFFFFFFF
#: Sums with end-around carry are sums modulo this (RFC 1071); a number of 32 bits counts as its two halves
_MODULUS = 0xFFFF
_WINDOW = 0xFFFF
#: Maximum segment size, no operation, window scale 14 (RFC 9293 3.2, RFC 7323 2.2)
_SYN_OPTIONS = bytes([2, 4]) + MAX_PAYLOAD.to_bytes(2, "big") + bytes([1, 3, 3, 14])
_SYN_SUM = int.from_bytes(_SYN_OPTIONS, "big")
_TCP = Struct(">HHIIBBHHH")
_IPV4 = Struct(">BBHHHBBH4s4s")
_IPV6 = Struct(">IHBB16s16s")
_IPV6_ADDRESS = 16
_VERSION_4 = 0x45
_PROTOCOL = 6
_HOPS = 64
_DO_NOT_FRAGMENT = 0x4000
#: How many bytes are made into one number to be summed; the fastest size, measured
_STEP = 3840


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address (4 or 16 bytes) and a port."""

    address: bytes
    port: int


def endpoint(text: str, stand_in: Endpoint) -> Endpoint:
    """Read `host:port` with a numeric host, IPv6 in brackets; gives `stand_in` for anything else."""
    host, colon, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return stand_in
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        return stand_in
    return Endpoint(address.packed, int(port))


class Stream:
    """One TCP connection; `client` is the endpoint that opened it, side 0, and `server` side 1.

    `first` is the sequence number of either SYN.
    """

    def __init__(self, client: Endpoint, server: Endpoint, first: int = 0) -> None:
        if len(client.address) != len(server.address):
            client, server = (Endpoint(_as_ipv6(side.address), side.port) for side in (client, server))
        self._sides = (client, server)
        self._ipv6 = len(client.address) == _IPV6_ADDRESS
        self._next = [first & _WORD, first & _WORD]
        self._acked = [-1, -1]
        addresses = _sum(client.address + server.address)
        #: The parts of the checksums that are the same in all segments
        self._ip_sum = (_VERSION_4 << 8) + _DO_NOT_FRAGMENT + (_HOPS << 8) + _PROTOCOL + addresses
        self._tcp_sum = addresses + _PROTOCOL + client.port + server.port + _WINDOW

    def __repr__(self) -> str:
        client, server = self._sides
        return f"<Stream {client.port} -> {server.port} next {self._next[0]}, {self._next[1]}>"

    def segment(self, sender: int, flags: int, length: int = 0, total: int = 0) -> bytes:
        """Give the IP and TCP headers of a segment that `sender` sends, and move on behind it.

        `length` is that of its payload, `total` what `payload_sum` gives for it.
        """
        own, other = self._sides[sender], self._sides[1 - sender]
        sequence, acknowledged = self._next[sender], self._next[1 - sender]
        if not flags & ACK:
            acknowledged = 0
        elif not length and flags == ACK and acknowledged == self._acked[sender]:
            # The same once more would be the report of a loss; one that comes late means nothing.
            acknowledged = acknowledged - 1 & _WORD
        self._acked[sender] = acknowledged
        opening = flags & SYN
        self._next[sender] = (sequence + length + (1 if flags & (SYN | FIN) else 0)) & _WORD
        size = _TCP.size + length + (len(_SYN_OPTIONS) if opening else 0)
        offset = (_TCP.size + (len(_SYN_OPTIONS) if opening else 0)) // 4 << 4
        total += self._tcp_sum + size + sequence + acknowledged + (offset << 8 | flags)
        if opening:
            total += _SYN_SUM
        check = -total % _MODULUS
        tcp = _TCP.pack(own.port, other.port, sequence, acknowledged, offset, flags, _WINDOW, check, 0)
        if opening:
            tcp += _SYN_OPTIONS
        if self._ipv6:
            return _IPV6.pack(6 << 28, size, _PROTOCOL, _HOPS, own.address, other.address) + tcp
        size += _IPV4.size
        check = -(self._ip_sum + size) % _MODULUS
        return (
            _IPV4.pack(_VERSION_4, 0, size, 0, _DO_NOT_FRAGMENT, _HOPS, _PROTOCOL, check, own.address, other.address)
            + tcp
        )


def payload_sum(parts: Sequence[bytes | memoryview]) -> int:
    """Add up the 16-bit words of a payload, modulo 65535, as the checksum wants it (RFC 1071).

    A sum of 16-bit words with end-around carry is the whole taken as one number, modulo 65535; and so is a sum of
    larger pieces, as long as each ends between two words, or is multiplied by 256 where it does not.
    """
    total = end = 0
    for part in parts:
        end += len(part)
        total += _sum(part) << 8 * (end & 1)
    return total % _MODULUS


def _sum(data: bytes | memoryview) -> int:
    number = int.from_bytes
    if len(data) <= _STEP:
        return number(data, "big")
    head = len(data) % _STEP
    return number(data[:head], "big") + sum(
        [number(data[at : at + _STEP], "big") for at in range(head, len(data), _STEP)]
    )


def _as_ipv6(address: bytes) -> bytes:
    """Give an IPv6 address for any (RFC 4291 2.5.5.2)."""
    return address if len(address) == _IPV6_ADDRESS else bytes(10) + b"\xff\xff" + address
