"""What a PDU has made known or changed: the tracker's answers, one frozen value each.

A fact is about the leg of the tracker that gave it. Facts of one PDU come in the order of the list below, violations
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End

__all__ = [
    "ConnectionReinstated",
    "DigestsOn",
    "Fact",
    "FullFeatureReached",
    "LoginFailed",
    "PhaseChanged",
    "SessionFormed",
    "SessionJoined",
    "SessionReinstated",
    "Violation",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What every fact has: the connection whose PDU made it known."""

    conn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation(Fact):
    """An end did what the protocol does not have; for a later judge to weigh, never an exception.

    `by` is the sender of the PDU; `section` names the rule, such as `RFC 7143 6.3`.
    """

    by: End
    text: str
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFailed(Fact):
    """A Login Response ended the login. `status` is Status-Class * 256 + Status-Detail (RFC 7143 11.13.5)."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestsOn(Fact):
    """The final Login Response has passed: from the next PDU of each direction on, these digests (RFC 7143 13.1)."""

    header: bool
    data: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChanged(Fact):
    """The connection went from one phase to another."""

    old: Phase
    new: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFormed(Fact):
    """A new session; `session` is its number, as in a snapshot."""

    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionJoined(Fact):
    """One more connection in a session (RFC 7143 6.3.1), or in one whose beginning was not seen."""

    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReinstated(Fact):
    """A new session in the place of `old`, which has ended by this (RFC 7143 6.3.5).

    `conns` are the connections of the old one that are still open, and have to be closed; none when the initiator came
    back after it had lost them.
    """

    session: int
    old: int
    conns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReinstated(Fact):
    """The connection took the CID of `old`, which has ended by this (RFC 7143 6.3.4)."""

    session: int
    old: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FullFeatureReached(Fact):
    """The login is over and went well; `keys` are the settled ones with their defaults."""

    keys: Mapping[str, str]
