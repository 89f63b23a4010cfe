from __future__ import annotations

from types import MappingProxyType

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.document import Node, read_yaml
from iscsiproxy.language.names import NOTHING, Hand
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.spec import (
    NOWHERE,
    Call,
    Cut,
    Expr,
    Literal_,
    Param,
    ParamKind,
    Place,
    Ref,
    Value,
    ValueKind,
)
from iscsiproxy.language.values import Values, pdu_opcode
from iscsiproxy.language.vocabulary import Type, shared_field
from iscsiproxy.wire.opcodes import GROUPS, Opcode
from tests.language.samples import NO_PARAMETERS

__all__: list[str] = []

K = ParamKind
COMMAND = Hand(frozenset({int(Opcode.SCSI_COMMAND)}))
ANY = GROUPS["Any-PDU"]


def values(hand: Hand = COMMAND, **parameters: str) -> Values:
    captures = Captures()
    captures.add("n", NOWHERE, opcodes=COMMAND.opcodes)
    return Values(Parameters(parameters), captures, hand, rules=["lost"], states=["up", "down"])


def node(text: str) -> Node:
    return read_yaml(text, "f")


def param(kind: ParamKind, *choices: str) -> Param:
    return Param(name="p", kind=kind, help="", choices=choices)


@pytest.mark.parametrize("written", ["1..1460", "1 .. 1460", "$both", "$low..$high", "0x1..1460"])
def test_a_range_of_numbers(written: str) -> None:
    found = values(both="1..1460", low="1", high="1460").read(param(K.RANGE), node(written))
    assert isinstance(found, tuple)
    assert [one.value for one in found if isinstance(one, Literal_)] == [1, 1460]
    ends = values().read(param(K.RANGE), node("length..length * 2"))
    assert isinstance(ends, tuple)
    assert len(ends) == 2


def test_a_range_may_be_one_number() -> None:
    found = values(both="5").read(param(K.RANGE), node("$both"))
    assert isinstance(found, Literal_)
    assert found.value == 5


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("9..1", "`p` begins behind its end"),
        ("1..", "expected a value, not the end"),
        ("1..2..3", "`..` does not belong here"),
        ("1s..2s", "`p` takes a number, not a duration"),
        ("1..CmdSN", "`p` takes a number, not `CmdSN`"),
        ("5 and 6", "`and` does not belong here"),
    ],
)
def test_a_range_that_is_none(written: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        values().read(param(K.RANGE), node(written))
    assert message in caught.value.message


#: kind, YAML, value
GOOD: list[tuple[ParamKind, str, Value]] = [
    (K.FLAG, "yes", True),
    (K.FLAG, "no", False),
    (K.DURATION, "200ms", 0.2),
    (K.DURATION, "1min", 60.0),
    (K.PLACE, "start", Place(part="start")),
    (K.PLACE, "end", Place(part="end")),
    (K.PLACE, "header+20", Place(part="header", offset=20)),
    (K.PLACE, "data", Place(part="data")),
    (K.PLACE, "data+4KiB", Place(part="data", offset=4096)),
    (K.PLACE, "data-digest+3", Place(part="data-digest", offset=3)),
    (K.TEXT, "any text: here", "any text: here"),
    (K.NAME, "n", "n"),
    (K.NEW_NAME, "copy", "copy"),
    (K.BYTES, "0x00ff", b"\0\xff"),
    (K.BYTES, "'A=1'", b"A=1"),
    (K.BYTES, '"0x41"', b"0x41"),
    (K.BYTES, '"A\\0"', b"A\0"),
    (K.TEXTS, "A=1", ("A=1",)),
    (K.TEXTS, "[A=1, A=2, B=]", ("A=1", "A=2", "B=")),
    (K.KEYS, "[A, B]", ("A", "B")),
    (K.KEYS, "A", ("A",)),
    (K.PDU, "R2T", "R2T"),
    (K.STATE, "down", "down"),
    (K.RULE, "lost", "lost"),
    (K.CUTS, "data+5", (Cut(offset=5),)),
    (K.CUTS, "[MaxBurstLength+6, X-com.a+0]", (Cut(key="MaxBurstLength", offset=6), Cut(key="X-com.a"))),
    (K.ROUNDS, "{1: [A=1], 2: B=2}", {1: ("A=1",), 2: ("B=2",)}),
]


@pytest.mark.parametrize(("kind", "written", "value"), GOOD)
def test_a_value_by_its_kind(kind: ParamKind, written: str, value: Value) -> None:
    written = written if written[0] != "a" else f'"{written}"'
    assert values().read(param(kind), node(written)) == value


def test_a_choice() -> None:
    assert values().read(param(K.CHOICE, "raw", "translate"), node("raw")) == "raw"


def test_a_word_besides_what_a_kind_reads() -> None:
    assert values().read(param(K.BYTES, "none"), node("none")) == "none"


def test_a_number_is_an_expression() -> None:
    found = values().read(param(K.NUMBER), node("length - 4"))
    assert isinstance(found, Expr)
    assert found.kind is ValueKind.NUMBER


def test_a_computed_text() -> None:
    texts = values().read(param(K.TEXTS), node('["MaxBurstLength=(min(length, 512))"]'))
    assert isinstance(texts, tuple)
    (found,) = texts
    assert isinstance(found, Call)
    assert found.function == "pair"
    key, value = found.arguments
    assert isinstance(key, Literal_)
    assert key.value == "MaxBurstLength"
    assert isinstance(value, Call)


def test_an_offer() -> None:
    found = values().read(param(K.OFFER), node("{MaxConnections: 2, X-a: (length)}"))
    assert isinstance(found, dict)
    assert found["MaxConnections"].value == "2"
    assert isinstance(found["X-a"], Ref)


def test_parameters_are_filled_in() -> None:
    some = values(at="header+1", n="5", key="A", how="raw")
    assert some.read(param(K.PLACE), node("$at")) == Place(part="header", offset=1)
    assert some.read(param(K.TEXTS), node("$key=$n")) == ("A=5",)
    assert some.read(param(K.CHOICE, "raw"), node("$how")) == "raw"
    number = some.read(param(K.NUMBER), node("$n"))
    assert isinstance(number, Literal_)
    assert number.value == 5


#: kind, YAML, column, part of the message
BAD = [
    (K.FLAG, "Yes", 1, "`p` is `yes` or `no`, not `Yes`"),
    (K.FLAG, "true", 1, "`yes` or `no`"),
    (K.DURATION, "5", 1, "is a duration, not `5`"),
    (K.DURATION, "[5s]", 1, "expected `p`, not a list"),
    (K.NUMBER, "5s", 1, "takes a number, not a duration"),
    (K.NUMBER, "CmdSN", 1, "takes a number, not `CmdSN`"),
    (K.NUMBER, "1 +", 4, "expected a value"),
    (K.PLACE, "start+1", 1, "no place in a PDU"),
    (K.PLACE, "datum+1", 1, "no place in a PDU"),
    (K.PLACE, "data+x", 1, "no place in a PDU"),
    (K.PLACE, "header+48", 1, "the last byte of header is `header+47`"),
    (K.PLACE, "pad+3", 1, "the last byte of pad"),
    (K.TEXT, "{a: b}", 1, "not a mapping"),
    (K.TEXT, "", 1, "empty"),
    (K.NAME, "m", 1, "nothing in the file binds the name `m`"),
    (K.NEW_NAME, "a.b", 1, "cannot be a name"),
    (K.BYTES, "0x0", 1, "is no bytes"),
    (K.BYTES, "abc", 1, "`abc` has no meaning"),
    (K.BYTES, "5", 1, "is no bytes"),
    (K.BYTES, "CDB", 1, "takes bytes"),
    (K.TEXTS, "[A=1, B]", 7, "takes KEY=VALUE, not `B`"),
    (K.TEXTS, "=1", 1, "takes KEY=VALUE"),
    (K.TEXTS, "A=(ITT)", 3, "expected a text or a number, not `ITT`, a tag"),
    (K.KEYS, "A=1", 1, "takes names of keys"),
    (K.PDU, "R2", 1, "is not the name of a PDU"),
    (K.PDU, "Any-PDU", 1, "stands for several PDUs"),
    (K.PDU, "close", 1, "is not the name of a PDU"),
    (K.STATE, "dwon", 1, "there is no state of this machine called `dwon`"),
    (K.RULE, "last", 1, "there is no rule with a name called `last`"),
    (K.OFFER, "{}", 1, "`p` is empty"),
    (K.OFFER, "A", 1, "a mapping of keys and values, not `A`"),
    (K.ROUNDS, "{x: [A=1]}", 2, "given by round"),
    (K.CUTS, "data", 1, "takes `data+N` or `KEY+N`"),
]


@pytest.mark.parametrize(("kind", "written", "column", "message"), BAD)
def test_a_value_that_is_none(kind: ParamKind, written: str, column: int, message: str) -> None:
    with pytest.raises(FileError) as caught:
        values().read(param(kind), node(written))
    assert message in caught.value.message
    assert caught.value.column == column


def field(name: str) -> Type:
    shared = shared_field(ANY, name)
    return (
        Type(ValueKind.TEXT if name.startswith("text.") else ValueKind.BYTES, name) if shared is None else shared.type
    )


def assign(name: str, written: str, hand: Hand = COMMAND) -> Expr:
    return values(hand).assigned(node(written), field(name))


#: field, YAML, value, kind
ASSIGNED = [
    ("CmdSN", "5", 5, ValueKind.SERIAL),
    ("F", "1", 1, ValueKind.FLAG),
    ("ITT", "none", 0xFFFFFFFF, ValueKind.TAG),
    ("ITT", "0x12345678", 0x12345678, ValueKind.TAG),
    ("Status", "BUSY", 8, ValueKind.CODE),
    ("Function", "ABORT_TASK", 1, ValueKind.CODE),
    ("data", "'abc'", b"abc", ValueKind.BYTES),
    ("data", "0x4142", b"AB", ValueKind.BYTES),
    ("CDB", "READ lba=1 blocks=8", bytes.fromhex("28000000000100000800") + bytes(6), ValueKind.BYTES),
    ("CDB", "0x00", b"\0", ValueKind.BYTES),
    ("text.A", "Yes", "Yes", ValueKind.TEXT),
    ("text.A", "'(not computed'", "(not computed", ValueKind.TEXT),
    ("text.A", "5", "5", ValueKind.TEXT),
]


@pytest.mark.parametrize(("name", "written", "value", "kind"), ASSIGNED)
def test_a_field_is_given_a_literal(name: str, written: str, value: object, kind: ValueKind) -> None:
    found = assign(name, written)
    assert isinstance(found, Literal_)
    assert (found.value, found.kind) == (value, kind)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("CmdSN", "n.CmdSN + 1"),
        ("Parameter1", "conn.CID"),
        ("BegRun", "n.CmdSN"),
        ("F", "n.W"),
        ("data", "CDB"),
        ("CDB", "n.CDB"),
        ("text.A", "(length * 2)"),
        ("EDTL", "random(1, 8) * 512"),
        ("ITT", "n.ITT"),
    ],
)
def test_a_field_is_given_an_expression(name: str, written: str) -> None:
    assert not isinstance(assign(name, written), Literal_)


def test_a_fresh_tag() -> None:
    found = assign("ITT", "fresh")
    assert isinstance(found, Call)
    assert (found.function, found.arguments, found.kind) == ("fresh", (), ValueKind.TAG)
    parameters = values(tag="fresh")
    assert parameters.assigned(node("$tag"), field("TTT")).kind is ValueKind.TAG


@pytest.mark.parametrize("name", ["CID", "TSIH", "ISID"])
def test_a_fresh_name_of_a_connection_or_a_session_says_of_which_kind(name: str) -> None:
    found = assign(name, "fresh")
    assert isinstance(found, Call)
    (kind,) = found.arguments
    assert isinstance(kind, Literal_)
    assert (found.function, kind.value, found.kind) == ("fresh", name, ValueKind.TAG)


#: field, YAML, column, part of the message
BAD_FIELDS = [
    ("F", "2", 1, "2 does not fit `F`"),
    ("CmdSN", "-1", 1, "never negative"),
    ("DataSegmentLength", "0x1000000", 1, "does not fit"),
    ("Status", "BUZY", 1, "`Status` is never `BUZY`"),
    ("CmdSN", "5s", 1, "takes a serial, not a duration"),
    ("CmdSN", "absent", 1, "takes a serial, not `absent`"),
    ("F", "W == 1", 1, "takes a flag, not a test"),
    ("LUN", "fresh", 1, "`fresh` is an unused tag"),
    ("CmdSN", "fresh", 1, "`fresh` is an unused tag"),
    ("TSIH", "none", 1, "`none` is ffffffff"),
    ("data", "length", 1, "expected bytes"),
    ("data", "abc", 1, "`abc` has no meaning"),
    ("CDB", "READ lab=1", 1, "takes no `lab=1`"),
    ("CDB", "0x" + "00" * 17, 1, "16 bytes"),
    ("text.A", "(ITT)", 1, "expected a text or a number"),
    ("CmdSN", "", 1, "empty"),
    ("CmdSN", "[1]", 1, "not a list"),
]


@pytest.mark.parametrize(("name", "written", "column", "message"), BAD_FIELDS)
def test_what_a_field_does_not_take(name: str, written: str, column: int, message: str) -> None:
    with pytest.raises(FileError) as caught:
        assign(name, written)
    assert message in caught.value.message
    assert caught.value.column == column


def test_the_name_of_a_pdu_is_an_opcode() -> None:
    assert pdu_opcode(node("Opcode-0x1c"), NO_PARAMETERS) == 0x1C


def test_with_nothing_in_hand_there_are_no_fields() -> None:
    with pytest.raises(FileError, match="no PDU here"):
        values(NOTHING).assigned(node("CmdSN"), Type(ValueKind.SERIAL, "CmdSN", MappingProxyType({})))
