"""What an embedded target is set up as, and what a login tells the node about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.scsi.command import Nexus

__all__ = ["Account", "Identity", "LoggedIn", "TargetSettings"]

#: The digests and their order of preference are the initiator's choice; these are what we take (RFC 7143 13.1)
_ANY_DIGEST = ("CRC32C", "None")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """The ways of a target; the defaults take whatever an initiator offers. Lengths are bytes, times seconds.

    With `accounts` normal sessions must prove one of them with CHAP; with `mutual` the target can prove itself too.
    `discovery_chap` asks the same of discovery sessions. `header_digests` and `data_digests` are what is accepted, in
    any order; without `None` among them an initiator that does not offer CRC32C cannot log in.
    """

    alias: str = "iscsiproxy embedded target"
    portal_group: int = 1
    accounts: tuple[Account, ...] = ()
    mutual: Account | None = None
    discovery_chap: bool = False
    #: CHAP_A numbers by preference of the initiator's list (RFC 7143 12.1.3): SHA-256, SHA-1, MD5
    chap_algorithms: tuple[int, ...] = (7, 6, 5)
    header_digests: tuple[str, ...] = _ANY_DIGEST
    data_digests: tuple[str, ...] = _ANY_DIGEST
    max_recv_data_segment_length: int = 262144
    initial_r2t: bool = False
    immediate_data: bool = True
    max_burst_length: int = 1048576
    first_burst_length: int = 262144
    max_outstanding_r2t: int = 8
    data_pdu_in_order: bool = True
    data_sequence_in_order: bool = True
    time2wait: int = 2
    time2retain: int = 0
    task_reporting: tuple[str, ...] = ("FastAbort", "ResponseFence", "RFC3720")
    protocol_level: int = 2
    #: How many commands beyond ExpCmdSN an initiator may send (RFC 7143 4.2.2.1)
    command_window: int = 128
    #: An idle connection is asked for a sign of life after so long, and dropped if it gives none; 0: never
    nop_interval: float = 0.0
    #: How long a login may take, and a burst of Data-Out may pause; 0: for ever
    login_timeout: float = 30.0
    data_timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who logs in to what, as the login's first request says (RFC 7143 11.12). `target` is None in discovery."""

    initiator: str
    target: str | None
    isid: int
    tsih: int
    cid: int
    portal_group: int = 1

    @property
    def discovery(self) -> bool:
        """Whether this is a discovery session."""
        return self.target is None

    @property
    def nexus(self) -> Nexus:
        """The I_T nexus of its session."""
        return Nexus(self.initiator, self.isid, self.portal_group)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """A login that has gone well: what the connection and its session begin with.

    `exp_cmdsn` is the CmdSN of the login, which the first non-immediate command will carry (RFC 7143 11.12.8).
    """

    identity: Identity
    parameters: Parameters
    exp_cmdsn: int
    declared: Mapping[str, str]
