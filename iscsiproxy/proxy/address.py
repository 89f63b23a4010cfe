"""Addresses as people and iSCSI write them: `host:port`, IPv6 hosts in brackets (RFC 7143 13.8)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from iscsiproxy.errors import UsageError

__all__ = ["ISCSI_PORT", "Address", "parse_address"]

#: The well-known port of iSCSI (RFC 7143 13.8)
ISCSI_PORT = 3260


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address (no brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, name: tuple[Any, ...]) -> Address:
        """Take it from what `getsockname` and `getpeername` give; IPv4 inside IPv6 becomes plain IPv4."""
        host = str(name[0]).partition("%")[0]
        if host.startswith("::ffff:") and "." in host:
            host = host.removeprefix("::ffff:")
        return cls(host, int(name[1]))

    @property
    def is_wildcard(self) -> bool:
        """Tell whether the host stands for every address of a machine."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False


def parse_address(text: str, *, default_host: str | None = None, default_port: int | None = ISCSI_PORT) -> Address:
    """Read `host:port`, `[v6]:port`, `host`, or `:port` where there is a default host.

    Raises UsageError for anything else.
    """
    host, port_text = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UsageError(f"{text!r} is not an address: expected [IPv6]:port")
        port_text = rest[1:]
        if ":" not in host:
            raise UsageError(f"{text!r} is not an address: {host!r} in brackets is no IPv6 address")
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
    elif ":" in text:
        raise UsageError(f"{text!r} is not an address: write an IPv6 host in brackets, as in [::1]:3260")
    if not host:
        if default_host is None:
            raise UsageError(f"{text!r} is not an address: the host is missing, expected host:port")
        host = default_host
    if not port_text:
        if default_port is None or text.endswith(":"):
            raise UsageError(f"{text!r} is not an address: the port is missing, expected host:port")
        return Address(host, default_port)
    if not (port_text.isascii() and port_text.isdigit() and int(port_text) < 65536):
        raise UsageError(f"{text!r} is not an address: {port_text!r} is no port number (0 to 65535)")
    return Address(host, int(port_text))
