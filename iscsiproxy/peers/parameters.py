"""What two ends have agreed on: the operational parameters of a session and of one of its connections (RFC 7143 13)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_SEGMENT", "Parameters"]

#: MaxRecvDataSegmentLength where nobody declared one, and during login always (RFC 7143 13.12, 6.3)
DEFAULT_SEGMENT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Negotiated values, beginning as the defaults of RFC 7143 13; lengths in bytes, times in seconds.

    `send_segment` is the MaxRecvDataSegmentLength that the other end declared, `receive_segment` the one we did.
    """

    #: RFC 7143 13.1
    header_digest: bool = False
    data_digest: bool = False
    #: RFC 7143 13.2
    max_connections: int = 1
    #: RFC 7143 13.10, 13.11
    initial_r2t: bool = True
    immediate_data: bool = True
    #: RFC 7143 13.12
    send_segment: int = DEFAULT_SEGMENT
    receive_segment: int = DEFAULT_SEGMENT
    #: RFC 7143 13.13, 13.14
    max_burst_length: int = 262144
    first_burst_length: int = 65536
    #: RFC 7143 13.15, 13.16
    time2wait: int = 2
    time2retain: int = 20
    #: RFC 7143 13.17
    max_outstanding_r2t: int = 1
    #: RFC 7143 13.18, 13.19
    data_pdu_in_order: bool = True
    data_sequence_in_order: bool = True
    #: RFC 7143 13.20
    error_recovery_level: int = 0
    #: RFC 7143 13.23: RFC3720, ResponseFence or FastAbort
    task_reporting: str = "RFC3720"
    #: RFC 7143 13.24, RFC 7144 7.1.1; 2 and above allows what RFC 7144 adds
    protocol_level: int = 1
