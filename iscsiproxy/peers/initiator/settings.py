"""What an embedded initiator is told to be: its names, its offers, its patience."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from iscsiproxy.peers.chap import Account

__all__ = ["DEFAULT_INITIATOR", "Account", "InitiatorSettings", "random_isid"]

DEFAULT_INITIATOR = "iqn.2026-01.example.iscsiproxy:initiator"

#: The T field of an ISID that says "random": its first byte is 80h (RFC 7143 11.12.5)
_RANDOM_ISID = 0x80 << 40


def random_isid(seed: str, qualifier: int = 0) -> int:
    """Make an ISID of the random format from a seed: the same seed, the same initiator port (RFC 7143 11.12.5)."""
    scattered = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:3], "big")
    return _RANDOM_ISID | scattered << 16 | qualifier & 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class InitiatorSettings:
    """The ways of an initiator; the defaults make a modern one. Lengths are bytes, times seconds.

    Without a `target` the session is one of discovery. With `account` the initiator offers CHAP alone, and with
    `mutual` it asks the target to prove that account. `offers` are further login keys, in their order, which replace
    the defaults of the same name; an empty value takes the key away. `tsih` is not 0 only in connection
    reinstatement. `first_cmdsn` and `first_itt` are what the session begins with.
    """

    initiator: str = DEFAULT_INITIATOR
    alias: str = ""
    target: str | None = None
    isid: int = field(default_factory=lambda: random_isid(DEFAULT_INITIATOR))
    tsih: int = 0
    cid: int = 0
    account: Account | None = None
    mutual: Account | None = None
    #: CHAP_A numbers by preference (RFC 7143 12.1.3): MD5, SHA-1, SHA-256. MD5 is what everybody has to know; by 7
    #: tgtd means SHA-1 and then refuses the right answer.
    chap_algorithms: tuple[int, ...] = (5, 6, 7)
    #: The portal group the target has to be in, as SendTargets said it; None: any (RFC 7143 13.9)
    portal_group: int | None = None
    header_digests: tuple[str, ...] = ("None", "CRC32C")
    data_digests: tuple[str, ...] = ("None", "CRC32C")
    initial_r2t: bool = False
    immediate_data: bool = True
    max_recv_data_segment_length: int = 262144
    max_burst_length: int = 1048576
    first_burst_length: int = 262144
    max_outstanding_r2t: int = 8
    time2wait: int = 2
    time2retain: int = 0
    task_reporting: tuple[str, ...] = ("RFC3720", "ResponseFence")
    protocol_level: int = 2
    offers: Mapping[str, str] = field(default_factory=dict)
    first_cmdsn: int = 1
    first_itt: int = 1
    #: How many redirections are followed (RFC 7143 11.13.5)
    redirections: int = 3
    login_timeout: float = 30.0
    #: A command without an answer for so long is aborted (RFC 7143 7.11); 0: never
    command_timeout: float = 60.0
    logout_timeout: float = 5.0
    #: A target that was silent for so long is pinged, and given up after as long again; 0: never
    nop_interval: float = 0.0

    @property
    def discovery(self) -> bool:
        """Whether the session is one of discovery."""
        return self.target is None

    def changed(self, **changes: object) -> InitiatorSettings:
        """Give a copy with some settings changed."""
        return replace(self, **changes)  # type: ignore[arg-type] # the names are checked when it runs
