"""The state machine of a connection, as two literal tables (RFC 7143 6.3, 8.1).

**The phase** goes from CONNECTED through the login stages to FULL_FEATURE, LOGOUT and CLOSED. The first Login Request
chooses the stage to begin with; after that only a Login Response moves it, when it grants with T=1 what the request
asked for with T=1. A stage may be passed over, never gone back to.

**The exchange** tells what the last Login Request asked for and whether it still waits for its answer: request and
response strictly take turns, and a response may grant at most what was asked.

Both are driven by *symbols*: what a PDU, or the end of the TCP connection, is to this machine. An entry that a table
does not have is a violation. A violation is reported, never raised; the state then stays, or goes where `ANYWAY` says
that the two ends go in spite of it, so that one error does not lead everything after it astray.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["ANYWAY", "EXCHANGES", "PHASES", "Exchange", "Machine", "Misstep", "Symbol", "symbol_of"]


class Symbol(Enum):
    """What drives the machine; the value is how a violation names it."""

    ASK_SECURITY = "a Login Request in the security stage"
    ASK_SECURITY_TO_OPERATIONAL = "a Login Request to leave the security stage for the operational stage"
    ASK_SECURITY_TO_FULL = "a Login Request to leave the security stage for full feature phase"
    ASK_OPERATIONAL = "a Login Request in the operational stage"
    ASK_OPERATIONAL_TO_FULL = "a Login Request to leave the operational stage for full feature phase"
    ASK_NONSENSE = "a Login Request with an impossible CSG, NSG, T or C"
    GRANT_SECURITY = "a Login Response in the security stage"
    GRANT_SECURITY_TO_OPERATIONAL = "a Login Response from the security stage to the operational stage"
    GRANT_SECURITY_TO_FULL = "a Login Response from the security stage to full feature phase"
    GRANT_OPERATIONAL = "a Login Response in the operational stage"
    GRANT_OPERATIONAL_TO_FULL = "a Login Response from the operational stage to full feature phase"
    GRANT_NONSENSE = "a Login Response with an impossible CSG, NSG, T or C"
    REFUSE = "a Login Response with a Status-Class other than 0"
    REQUEST = "a request that is no Login Request"  #: it wants an answer, and does not log this connection out
    LOGOUT = "a Logout Request"  #: for this connection or for its session
    SEND = "a PDU that is no Login Request"  #: anything else from the initiator: data, SNACK, unknown
    ANSWER = "a PDU that is no Login Response"  #: anything else from the target
    CLOSE = "the end of the connection"


class Exchange(Enum):
    """What the Login Request that waits for its answer asked for."""

    IDLE = "no Login Request waits for an answer"
    STAY = "a Login Request waits for an answer"
    TO_OPERATIONAL = "a Login Request waits to be let into the operational stage"
    TO_FULL = "a Login Request waits to be let into full feature phase"


S, P, E = Symbol, Phase, Exchange

#: What may happen in each phase, and the phase after it.
PHASES: Mapping[Phase, Mapping[Symbol, Phase]] = MappingProxyType(
    {
        P.CONNECTED: {
            S.ASK_SECURITY: P.SECURITY,
            S.ASK_SECURITY_TO_OPERATIONAL: P.SECURITY,
            S.ASK_SECURITY_TO_FULL: P.SECURITY,
            S.ASK_OPERATIONAL: P.OPERATIONAL,
            S.ASK_OPERATIONAL_TO_FULL: P.OPERATIONAL,
            S.CLOSE: P.CLOSED,
        },
        P.SECURITY: {
            S.ASK_SECURITY: P.SECURITY,
            S.ASK_SECURITY_TO_OPERATIONAL: P.SECURITY,
            S.ASK_SECURITY_TO_FULL: P.SECURITY,
            S.GRANT_SECURITY: P.SECURITY,
            S.GRANT_SECURITY_TO_OPERATIONAL: P.OPERATIONAL,
            S.GRANT_SECURITY_TO_FULL: P.FULL_FEATURE,
            S.REFUSE: P.CLOSED,
            S.CLOSE: P.CLOSED,
        },
        P.OPERATIONAL: {
            S.ASK_OPERATIONAL: P.OPERATIONAL,
            S.ASK_OPERATIONAL_TO_FULL: P.OPERATIONAL,
            S.GRANT_OPERATIONAL: P.OPERATIONAL,
            S.GRANT_OPERATIONAL_TO_FULL: P.FULL_FEATURE,
            S.REFUSE: P.CLOSED,
            S.CLOSE: P.CLOSED,
        },
        P.FULL_FEATURE: {
            S.REQUEST: P.FULL_FEATURE,
            S.SEND: P.FULL_FEATURE,
            S.ANSWER: P.FULL_FEATURE,
            S.LOGOUT: P.LOGOUT,
            # How a target turns down a second login is not laid down.
            S.REFUSE: P.FULL_FEATURE,
            S.CLOSE: P.CLOSED,
        },
        P.LOGOUT: {
            S.SEND: P.LOGOUT,
            S.ANSWER: P.LOGOUT,
            S.CLOSE: P.CLOSED,
        },
        P.CLOSED: {
            S.CLOSE: P.CLOSED,
        },
    }
)  # fmt: skip

#: Where a violation leads, if not nowhere: what both ends say, they will do.
ANYWAY: Mapping[Phase, Mapping[Symbol, Phase]] = MappingProxyType(
    {
        P.CONNECTED: {
            S.ASK_NONSENSE: P.SECURITY,
            S.REFUSE: P.CLOSED,
        },
        P.SECURITY: {
            S.GRANT_OPERATIONAL: P.OPERATIONAL,
            S.GRANT_OPERATIONAL_TO_FULL: P.FULL_FEATURE,
        },
        P.OPERATIONAL: {
            S.GRANT_SECURITY_TO_FULL: P.FULL_FEATURE,
        },
    }
)

#: Whose turn it is, and what a response may grant. Other symbols leave the exchange alone.
EXCHANGES: Mapping[Exchange, Mapping[Symbol, Exchange]] = MappingProxyType(
    {
        E.IDLE: {
            S.ASK_SECURITY: E.STAY,
            S.ASK_SECURITY_TO_OPERATIONAL: E.TO_OPERATIONAL,
            S.ASK_SECURITY_TO_FULL: E.TO_FULL,
            S.ASK_OPERATIONAL: E.STAY,
            S.ASK_OPERATIONAL_TO_FULL: E.TO_FULL,
            S.ASK_NONSENSE: E.STAY,
            # The answer to a PDU that is no Login Request (RFC 7143 4.2.4)
            S.REFUSE: E.IDLE,
        },
        E.STAY: {
            S.GRANT_SECURITY: E.IDLE,
            S.GRANT_OPERATIONAL: E.IDLE,
            S.GRANT_NONSENSE: E.IDLE,
            S.REFUSE: E.IDLE,
        },
        E.TO_OPERATIONAL: {
            S.GRANT_SECURITY: E.IDLE,
            S.GRANT_OPERATIONAL: E.IDLE,
            S.GRANT_SECURITY_TO_OPERATIONAL: E.IDLE,
            S.GRANT_NONSENSE: E.IDLE,
            S.REFUSE: E.IDLE,
        },
        E.TO_FULL: {
            S.GRANT_SECURITY: E.IDLE,
            S.GRANT_OPERATIONAL: E.IDLE,
            S.GRANT_SECURITY_TO_OPERATIONAL: E.IDLE,
            S.GRANT_SECURITY_TO_FULL: E.IDLE,
            S.GRANT_OPERATIONAL_TO_FULL: E.IDLE,
            S.GRANT_NONSENSE: E.IDLE,
            S.REFUSE: E.IDLE,
        },
    }
)  # fmt: skip

#: What is left of a symbol whose T=1 was not in order: the same without T.
_WITHOUT_T = {
    S.GRANT_SECURITY_TO_OPERATIONAL: S.GRANT_SECURITY,
    S.GRANT_SECURITY_TO_FULL: S.GRANT_SECURITY,
    S.GRANT_OPERATIONAL_TO_FULL: S.GRANT_OPERATIONAL,
}
_LOGIN = frozenset(symbol for table in EXCHANGES.values() for symbol in table)
_BY_INITIATOR = frozenset(symbol for symbol in Symbol if symbol.name.startswith("ASK_")) | {S.REQUEST, S.LOGOUT, S.SEND}

#: (CSG, NSG) of a PDU with T=1, or (CSG, None) without (RFC 7143 11.12.3)
_ASKS: Mapping[tuple[int, int | None], Symbol] = {
    (0, None): S.ASK_SECURITY,
    (0, 1): S.ASK_SECURITY_TO_OPERATIONAL,
    (0, 3): S.ASK_SECURITY_TO_FULL,
    (1, None): S.ASK_OPERATIONAL,
    (1, 3): S.ASK_OPERATIONAL_TO_FULL,
}
_GRANTS: Mapping[tuple[int, int | None], Symbol] = {
    stages: Symbol[symbol.name.replace("ASK", "GRANT")] for stages, symbol in _ASKS.items()
}
_REQUESTS = frozenset({Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST})


def symbol_of(pdu: Pdu) -> Symbol:
    """Tell what a PDU is to the machine.

    A Logout Request gives REQUEST: whether it means this connection only its session knows.
    """
    opcode = pdu.opcode
    if opcode == Opcode.LOGIN_REQUEST:
        return S.ASK_NONSENSE if pdu["T"] and pdu["C"] else _ASKS.get(_stages(pdu), S.ASK_NONSENSE)
    if opcode == Opcode.LOGIN_RESPONSE:
        if pdu["Status-Class"]:
            return S.REFUSE
        return S.GRANT_NONSENSE if pdu["T"] and pdu["C"] else _GRANTS.get(_stages(pdu), S.GRANT_NONSENSE)
    if opcode in _REQUESTS or (opcode == Opcode.NOP_OUT and pdu["ITT"] != NO_TAG):
        return S.REQUEST
    return S.SEND if sender_of(opcode) is End.INITIATOR else S.ANSWER


def _stages(pdu: Pdu) -> tuple[int, int | None]:
    return pdu["CSG"], pdu["NSG"] if pdu["T"] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misstep:
    """A symbol the tables do not have where it came."""

    by: End
    text: str
    section: str


class Machine:
    """One connection's place in both tables."""

    __slots__ = ("exchange", "phase")

    def __init__(self, phase: Phase = Phase.CONNECTED) -> None:
        self.phase = phase
        self.exchange = Exchange.IDLE

    def __repr__(self) -> str:
        return f"<Machine {self.phase.value}, {self.exchange.value}>"

    def step(self, symbol: Symbol) -> Misstep | None:
        """Go on by one symbol; give what was wrong with it, if anything was."""
        misstep = None
        if symbol in _LOGIN and self.phase not in (Phase.FULL_FEATURE, Phase.LOGOUT, Phase.CLOSED):
            exchange = EXCHANGES[self.exchange].get(symbol)
            if exchange is None:
                misstep = self._misstep(symbol, f"while {self.exchange.value}")
                # A second request takes the place of the first; an answer, even a wrong one, ends its turn.
                exchange = EXCHANGES[Exchange.IDLE].get(symbol, Exchange.IDLE)
                symbol = _WITHOUT_T.get(symbol, symbol)
            self.exchange = exchange
        phase = PHASES[self.phase].get(symbol)
        if phase is None:
            misstep = misstep or self._misstep(symbol, f"in phase {self.phase.value}")
            phase = ANYWAY.get(self.phase, {}).get(symbol, self.phase)
        self.phase = phase
        return misstep

    def _misstep(self, symbol: Symbol, where: str) -> Misstep:
        if self.phase is Phase.LOGOUT:
            section = "RFC 7143 11.14"
        elif self.phase is Phase.CLOSED:
            section = "RFC 7143 11.13.5"
        elif symbol in _LOGIN:
            section = "RFC 7143 6.3"
        else:
            section = "RFC 7143 4.2.4"
        by = End.INITIATOR if symbol in _BY_INITIATOR else End.TARGET
        return Misstep(by=by, text=f"{symbol.value} {where}", section=section)
