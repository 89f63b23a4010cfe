from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine import SPECS
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.sieve import Sieve
from iscsiproxy.language import load
from iscsiproxy.language.spec import Pattern
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

_TESTS = (
    "DataSN == 1",
    "DataSN == 2",
    "DataSN != 2",
    "DataSN < 2",
    "DataSN in (1, 2)",
    "F",
    "not F",
    "BHS.1.0",
    "length == 4",
    "length > 0",
    "BufferOffset == DataSN",
    "ITT == 1",
    "LUN == 1",
    'data == "abcd"',
    "(DataSN == 1 or F)",
    "not (DataSN == 1 and F)",
)


def _pattern(where: str) -> Pattern:
    text = f"scenario: x\nvictim: target\nrules:\n  - when: Data-Out where {where}\n    do: drop\n"
    (step,) = load(text, file="x.yaml", acts=SPECS).rules[0].when[0].steps
    assert isinstance(step, Pattern)
    return step


def _no_state(_conn: int, _leg: End, _pdu: Pdu | None) -> Snapshot:
    raise AssertionError("these patterns read no state")


def _data_out(sn: int, f: int, itt: int, lun: int, offset: int, data: bytes) -> Pdu:
    fields = {"DataSN": sn, "F": f, "ITT": itt, "LUN": lun << 48, "BufferOffset": offset}
    return Pdu.build(Opcode.DATA_OUT, data).with_fields(fields)


_SMALL = st.integers(0, 3)
_PDUS = st.builds(_data_out, _SMALL, st.integers(0, 1), _SMALL, _SMALL, _SMALL, st.sampled_from([b"", b"abcd", b"abc"]))
_PATTERNS = {where: _pattern(where) for where in _TESTS}


@given(wheres=st.lists(st.sampled_from(_TESTS), min_size=1, max_size=4), pdu=_PDUS)
def test_nothing_that_matches_is_sifted_out(wheres: list[str], pdu: Pdu) -> None:
    pattern = _pattern(" and ".join(wheres))
    matches = Matcher(pattern, "target").test(Look(1, 0.0, End.INITIATOR, _no_state, Random(1), {}, pdu))
    assert not matches or Sieve(Opcode.DATA_OUT, [("it", [pattern.where])])(pdu.bhs)


@pytest.mark.parametrize(
    ("where", "kept"),
    [("DataSN == 2", []), ("DataSN == 1", ["it"]), ("F and DataSN == 1", []), ("length > 9", []), ("LUN == 1", ["it"])],
)
def test_what_the_header_rules_out_is_gone(where: str, kept: list[str]) -> None:
    pdu = _data_out(1, 0, 1, 0, 0, b"abcd")
    assert Sieve(Opcode.DATA_OUT, [("it", [_PATTERNS.get(where, _pattern(where)).where])])(pdu.bhs) == kept


def test_a_field_that_the_pdu_cannot_have_rules_the_opcode_out() -> None:
    where = _pattern("DataSN == 2").where
    assert Sieve(Opcode.NOP_OUT, [("it", [where])])(Pdu.build(Opcode.NOP_OUT).bhs) == []


def test_the_order_of_the_rules_is_kept() -> None:
    wheres = [_PATTERNS[where].where for where in ("F", "DataSN == 1", "length == 4", "not F")]
    members = [(str(at), [where]) for at, where in enumerate(wheres)] + [("last", [None])]
    assert Sieve(Opcode.DATA_OUT, members)(_data_out(1, 0, 1, 0, 0, b"abcd").bhs) == ["1", "2", "3", "last"]


def test_a_rule_with_several_patterns_is_looked_at_closely() -> None:
    wheres = [_PATTERNS["DataSN == 1"].where, _PATTERNS["DataSN == 2"].where]
    assert Sieve(Opcode.DATA_OUT, [("it", wheres)])(_data_out(3, 0, 1, 0, 0, b"").bhs) == ["it"]
