"""Addresses of targets: `iscsi://` URLs as libiscsi has them, and the TargetAddress of the standard.

`iscsi://[USER[%PASSWORD]@]HOST[:PORT][/TARGET[/LUN]]`
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.peers.initiator.settings import Account

__all__ = ["DEFAULT_PORT", "TargetUrl", "parse_url", "split_address"]

#: RFC 7143 13.8
DEFAULT_PORT = 3260
_SCHEME = "iscsi://"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetUrl:
    """What a URL names; `target` is None where it names a portal only."""

    host: str
    port: int = DEFAULT_PORT
    target: str | None = None
    lun: int = 0
    account: Account | None = None

    @property
    def portal(self) -> tuple[str, int]:
        """Host and port, as `open_session` takes them."""
        return self.host, self.port


def _split(text: str) -> tuple[str, int] | None:
    """Cut `host[:port]`, where the host may be a bracketed IPv6 address."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else str(DEFAULT_PORT)
    else:
        host, colon, port = text.partition(":")
        port = port if colon else str(DEFAULT_PORT)
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 1 << 16:
        return None
    return host, int(port)


def split_address(address: str) -> tuple[str, int]:
    """Read a TargetAddress: `host[:port][,portal-group]` (RFC 7143 13.8). Raises PeerError for anything else."""
    portal = _split(address.rpartition(",")[0] if "," in address else address)
    if portal is None:
        raise PeerError(f"TargetAddress: expected host:port,portal-group, got {address!r}")
    return portal


def parse_url(url: str) -> TargetUrl:
    """Read an `iscsi://` URL. Raises UsageError for anything else; the message does not show a password."""
    if not url.startswith(_SCHEME):
        raise UsageError(f"expected an address like {_SCHEME}host:3260/target-name/0")
    authority, _, path = url[len(_SCHEME) :].partition("/")
    login, at, place = authority.rpartition("@")
    account = None
    if at:
        user, _, password = login.partition("%")
        account = Account(name=unquote(user), secret=unquote(password).encode())
    portal = _split(place)
    if portal is None:
        hint = ", an IPv6 host in brackets as in [::1]:3260" if place.count(":") > 1 else ""
        raise UsageError(f"expected host or host:port in the address{hint}, got {place!r}")
    target, _, lun = path.partition("/")
    if lun and not (lun.isascii() and lun.isdecimal()):
        raise UsageError(f"expected the number of a LUN at the end of the address, got {lun!r}")
    return TargetUrl(host=portal[0], port=portal[1], target=target or None, lun=int(lun or 0), account=account)
