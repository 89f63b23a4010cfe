from __future__ import annotations

from itertools import product

import pytest

from iscsiproxy.session.machine import ANYWAY, EXCHANGES, PHASES, Exchange, Machine, Symbol, symbol_of
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End, Opcode
from tests.session.dialogue import pdu

__all__: list[str] = []

CONNECTED, SECURITY, OPERATIONAL, FULL, LOGOUT, CLOSED = Phase
S, E = Symbol, Exchange

ASKS = {symbol for symbol in Symbol if symbol.name.startswith("ASK_")}
GRANTS = {symbol for symbol in Symbol if symbol.name.startswith("GRANT_")}
OTHERS = set(Symbol) - ASKS - GRANTS - {S.REFUSE}

#: What the standard has, written down a second time: phase, symbol, phase after it.
LEGAL = {
    (CONNECTED, S.ASK_SECURITY): SECURITY,
    (CONNECTED, S.ASK_SECURITY_TO_OPERATIONAL): SECURITY,
    (CONNECTED, S.ASK_SECURITY_TO_FULL): SECURITY,
    (CONNECTED, S.ASK_OPERATIONAL): OPERATIONAL,
    (CONNECTED, S.ASK_OPERATIONAL_TO_FULL): OPERATIONAL,
    (SECURITY, S.ASK_SECURITY): SECURITY,
    (SECURITY, S.ASK_SECURITY_TO_OPERATIONAL): SECURITY,
    (SECURITY, S.ASK_SECURITY_TO_FULL): SECURITY,
    (SECURITY, S.GRANT_SECURITY): SECURITY,
    (SECURITY, S.GRANT_SECURITY_TO_OPERATIONAL): OPERATIONAL,
    (SECURITY, S.GRANT_SECURITY_TO_FULL): FULL,
    (SECURITY, S.REFUSE): CLOSED,
    (OPERATIONAL, S.ASK_OPERATIONAL): OPERATIONAL,
    (OPERATIONAL, S.ASK_OPERATIONAL_TO_FULL): OPERATIONAL,
    (OPERATIONAL, S.GRANT_OPERATIONAL): OPERATIONAL,
    (OPERATIONAL, S.GRANT_OPERATIONAL_TO_FULL): FULL,
    (OPERATIONAL, S.REFUSE): CLOSED,
    (FULL, S.REQUEST): FULL,
    (FULL, S.SEND): FULL,
    (FULL, S.ANSWER): FULL,
    (FULL, S.REFUSE): FULL,
    (FULL, S.LOGOUT): LOGOUT,
    (LOGOUT, S.SEND): LOGOUT,
    (LOGOUT, S.ANSWER): LOGOUT,
    **{(phase, S.CLOSE): CLOSED for phase in Phase},
}

#: Where the two ends go in spite of the standard.
FORGIVEN = {
    (CONNECTED, S.ASK_NONSENSE): SECURITY,
    (CONNECTED, S.REFUSE): CLOSED,
    (SECURITY, S.GRANT_OPERATIONAL): OPERATIONAL,
    (SECURITY, S.GRANT_OPERATIONAL_TO_FULL): FULL,
    (OPERATIONAL, S.GRANT_SECURITY_TO_FULL): FULL,
}


def waiting(phase: Phase, symbol: Symbol) -> Machine:
    """Make a machine in `phase` whose exchange is no obstacle to `symbol`."""
    machine = Machine(phase)
    machine.exchange = E.TO_FULL if symbol in GRANTS else E.IDLE
    return machine


@pytest.mark.parametrize(("phase", "symbol"), list(product(Phase, Symbol)), ids=lambda value: value.name)
def test_every_phase_and_symbol(phase: Phase, symbol: Symbol) -> None:
    machine = waiting(phase, symbol)
    misstep = machine.step(symbol)
    legal = LEGAL.get((phase, symbol))
    if legal is not None:
        assert misstep is None
        assert machine.phase is legal
    else:
        assert misstep is not None
        assert machine.phase is FORGIVEN.get((phase, symbol), phase)
        assert symbol.value in misstep.text
        assert misstep.section.startswith("RFC 7143 ")


def test_the_tables_hold_nothing_else() -> None:
    assert {(p, s): to for p, row in PHASES.items() for s, to in row.items()} == LEGAL
    assert {(p, s): to for p, row in ANYWAY.items() for s, to in row.items()} == FORGIVEN
    assert not LEGAL.keys() & FORGIVEN.keys()


WAITING = {
    S.ASK_SECURITY: E.STAY,
    S.ASK_SECURITY_TO_OPERATIONAL: E.TO_OPERATIONAL,
    S.ASK_SECURITY_TO_FULL: E.TO_FULL,
    S.ASK_OPERATIONAL: E.STAY,
    S.ASK_OPERATIONAL_TO_FULL: E.TO_FULL,
    S.ASK_NONSENSE: E.STAY,
}
#: The least that a request must have asked for before a response may grant this.
NEEDS = {
    S.GRANT_SECURITY_TO_OPERATIONAL: {E.TO_OPERATIONAL, E.TO_FULL},
    S.GRANT_SECURITY_TO_FULL: {E.TO_FULL},
    S.GRANT_OPERATIONAL_TO_FULL: {E.TO_FULL},
}


@pytest.mark.parametrize(("exchange", "symbol"), list(product(Exchange, Symbol)), ids=lambda value: value.name)
def test_every_exchange_and_symbol(exchange: Exchange, symbol: Symbol) -> None:
    after = EXCHANGES[exchange].get(symbol)
    if symbol in ASKS:
        assert after is (WAITING[symbol] if exchange is E.IDLE else None)
    elif symbol is S.REFUSE:
        assert after is E.IDLE
    elif symbol in GRANTS:
        allowed = exchange is not E.IDLE and exchange in NEEDS.get(symbol, set(Exchange))
        assert after is (E.IDLE if allowed else None)
    else:
        assert after is None


def test_who_did_it() -> None:
    for phase, symbol in product(Phase, Symbol):
        misstep = waiting(phase, symbol).step(symbol)
        if misstep is not None:
            initiator = symbol in ASKS | {S.REQUEST, S.LOGOUT, S.SEND}
            assert misstep.by is (End.INITIATOR if initiator else End.TARGET)


def walk(*symbols: Symbol) -> tuple[Machine, list[str]]:
    machine = Machine()
    missteps = [machine.step(symbol) for symbol in symbols]
    return machine, ["" if misstep is None else misstep.section for misstep in missteps]


@pytest.mark.parametrize(
    "symbols",
    [
        (S.ASK_OPERATIONAL_TO_FULL, S.GRANT_OPERATIONAL_TO_FULL),
        (S.ASK_SECURITY_TO_FULL, S.GRANT_SECURITY_TO_FULL),
        (
            *(S.ASK_SECURITY, S.GRANT_SECURITY, S.ASK_SECURITY_TO_OPERATIONAL, S.GRANT_SECURITY_TO_OPERATIONAL),
            *(S.ASK_OPERATIONAL, S.GRANT_OPERATIONAL, S.ASK_OPERATIONAL_TO_FULL, S.GRANT_OPERATIONAL_TO_FULL),
        ),
        # The target is not ready yet, then lets the initiator go less far than it wanted.
        (
            *(S.ASK_SECURITY_TO_FULL, S.GRANT_SECURITY, S.ASK_SECURITY_TO_FULL, S.GRANT_SECURITY_TO_OPERATIONAL),
            *(S.ASK_OPERATIONAL_TO_FULL, S.GRANT_OPERATIONAL_TO_FULL),
        ),
    ],
)
def test_logins_that_go_well(symbols: tuple[Symbol, ...]) -> None:
    machine, sections = walk(*symbols)
    assert machine.phase is FULL
    assert not any(sections)


def test_a_second_request_before_the_answer() -> None:
    machine, sections = walk(S.ASK_OPERATIONAL, S.ASK_OPERATIONAL_TO_FULL, S.GRANT_OPERATIONAL_TO_FULL)
    assert sections == ["", "RFC 7143 6.3", ""]
    assert machine.phase is FULL


def test_a_response_nobody_asked_for() -> None:
    machine, sections = walk(S.ASK_OPERATIONAL, S.GRANT_OPERATIONAL, S.GRANT_OPERATIONAL)
    assert sections == ["", "", "RFC 7143 6.3"]
    assert machine.phase is OPERATIONAL


def test_T_nobody_asked_for_leads_nowhere() -> None:
    machine, sections = walk(S.ASK_OPERATIONAL, S.GRANT_OPERATIONAL_TO_FULL)
    assert sections == ["", "RFC 7143 6.3"]
    assert machine.phase is OPERATIONAL
    assert machine.exchange is E.IDLE


def test_more_than_was_asked_for_leads_nowhere() -> None:
    machine, sections = walk(S.ASK_SECURITY_TO_OPERATIONAL, S.GRANT_SECURITY_TO_FULL)
    assert sections == ["", "RFC 7143 6.3"]
    assert machine.phase is SECURITY


def test_a_stage_that_both_ends_take_for_another_one() -> None:
    machine, sections = walk(S.ASK_SECURITY, S.GRANT_SECURITY, S.ASK_OPERATIONAL_TO_FULL, S.GRANT_OPERATIONAL_TO_FULL)
    assert sections == ["", "", "RFC 7143 6.3", "RFC 7143 6.3"]
    assert machine.phase is FULL


def test_a_login_refused_after_a_foreign_PDU() -> None:
    machine, sections = walk(S.ASK_OPERATIONAL, S.GRANT_OPERATIONAL, S.REQUEST, S.REFUSE)
    assert sections == ["", "", "RFC 7143 4.2.4", ""]
    assert machine.phase is CLOSED


def test_repr_names_both_states() -> None:
    machine, _ = walk(S.ASK_OPERATIONAL_TO_FULL)
    assert repr(machine) == "<Machine operational, a Login Request waits to be let into full feature phase>"


LOGIN_BITS = [
    (0, 0, 0, "SECURITY"),
    (0, 0, 3, "SECURITY"),  # NSG is reserved without T
    (0, 1, 0, "NONSENSE"),
    (0, 1, 1, "SECURITY_TO_OPERATIONAL"),
    (0, 1, 2, "NONSENSE"),
    (0, 1, 3, "SECURITY_TO_FULL"),
    (1, 0, 0, "OPERATIONAL"),
    (1, 1, 0, "NONSENSE"),
    (1, 1, 1, "NONSENSE"),
    (1, 1, 2, "NONSENSE"),
    (1, 1, 3, "OPERATIONAL_TO_FULL"),
    (2, 0, 0, "NONSENSE"),
    (2, 1, 3, "NONSENSE"),
    (3, 0, 0, "NONSENSE"),
    (3, 1, 3, "NONSENSE"),
]


@pytest.mark.parametrize(("csg", "t", "nsg", "name"), LOGIN_BITS)
def test_symbols_of_login_PDUs(csg: int, t: int, nsg: int, name: str) -> None:
    bits = {"CSG": csg, "T": t, "NSG": nsg}
    assert symbol_of(pdu(Opcode.LOGIN_REQUEST, **bits)) is Symbol[f"ASK_{name}"]
    assert symbol_of(pdu(Opcode.LOGIN_RESPONSE, **bits)) is Symbol[f"GRANT_{name}"]
    continued = {**bits, "C": 1}
    expected = "NONSENSE" if t else name
    assert symbol_of(pdu(Opcode.LOGIN_REQUEST, **continued)) is Symbol[f"ASK_{expected}"]
    assert symbol_of(pdu(Opcode.LOGIN_RESPONSE, **continued)) is Symbol[f"GRANT_{expected}"]


@pytest.mark.parametrize("status", [1, 2, 3, 0x80])
def test_a_status_class_refuses_whatever_the_stages(status: int) -> None:
    for csg, t, nsg, _ in LOGIN_BITS:
        bits = {"CSG": csg, "T": t, "NSG": nsg, "Status-Class": status}
        assert symbol_of(pdu(Opcode.LOGIN_RESPONSE, **bits)) is S.REFUSE


def test_symbols_of_all_other_PDUs() -> None:
    requests = {Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST, Opcode.NOP_OUT}
    for opcode in set(range(64)) - {Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE}:
        expected = S.REQUEST if opcode in requests else S.ANSWER if opcode & 0x20 else S.SEND
        assert symbol_of(pdu(opcode, ITT=5)) is expected
    # The answer to a target's ping is no request.
    assert symbol_of(pdu(Opcode.NOP_OUT, ITT=0xFFFFFFFF, TTT=5)) is S.SEND
