from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.checker import Checker
from iscsiproxy.language.expressions import parse_expression
from iscsiproxy.language.names import Hand, Names
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.spec import (
    NOWHERE,
    Absent,
    Binary,
    Call,
    Expr,
    In,
    Literal_,
    Logic,
    Not,
    Range,
    Ref,
    Unary,
    ValueKind,
)
from iscsiproxy.language.vocabulary import item_of
from tests.language.samples import scalar

__all__: list[str] = []

K = ValueKind


def check(text: str, pdus: str = "SCSI-Command", **parameters: str) -> Expr:
    items = [item for name in pdus.split() if (item := item_of(name))]
    captures = Captures()
    captures.add("n", NOWHERE, opcodes=items[0].opcodes)
    captures.add("m", NOWHERE, opcodes=[0x21])
    captures.add("ready", NOWHERE, events=["full-feature"])
    captures.add("many", NOWHERE, opcodes=items[0].opcodes, each=True)
    hand = Hand(frozenset(opcode for item in items for opcode in item.opcodes))
    return Checker(Names(captures, hand)).test(parse_expression(scalar(text), Parameters(parameters)))


def literal(text: str, pdus: str = "SCSI-Command", **parameters: str) -> tuple[object, ValueKind]:
    expr = check(text, pdus, **parameters)
    assert isinstance(expr, Binary)
    assert isinstance(expr.right, Literal_)
    return expr.right.value, expr.right.kind


#: test, PDUs, what the right side is
LITERALS = [
    ("CmdSN == 5", "SCSI-Command", 5, K.SERIAL),
    ("EDTL == 64KiB", "SCSI-Command", 65536, K.NUMBER),
    ("LUN == 0", "SCSI-Command", 0, K.TAG),
    ("ITT != none", "SCSI-Command", 0xFFFFFFFF, K.TAG),
    ("W == 1", "SCSI-Command", 1, K.FLAG),
    ("ATTR == SIMPLE", "SCSI-Command", 1, K.CODE),
    ("ATTR == 1", "SCSI-Command", 1, K.CODE),
    ("Status == BUSY", "SCSI-Response", 8, K.CODE),
    ("Status == BUSY", "SCSI-Response Data-In", 8, K.CODE),
    ("Response == TARGET_FAILURE", "SCSI-Response", 1, K.CODE),
    ("Response == FUNCTION_COMPLETE", "TMF-Response", 0, K.CODE),
    ("Response == 0", "SCSI-Response TMF-Response", 0, K.CODE),
    ("Response == CID_NOT_FOUND", "Logout-Response", 1, K.CODE),
    ("Function == LUN_RESET", "TMF-Request", 5, K.CODE),
    ("ReasonCode == CLOSE_CONNECTION", "Logout-Request", 1, K.CODE),
    ("Reason == PROTOCOL_ERROR", "Reject", 4, K.CODE),
    ("Type == STATUS", "SNACK", 1, K.CODE),
    ("AsyncEvent == CONNECTION_DROP", "Async", 2, K.CODE),
    ("CSG == SecurityNegotiation", "Login-Request", 0, K.CODE),
    ("task.status == BUSY", "SCSI-Response", 8, K.CODE),
    ("m.Status == BUSY", "SCSI-Command", 8, K.CODE),
    ("header.Function == ABORT_TASK", "Reject", 1, K.CODE),
    ("conn.phase == full-feature", "SCSI-Command", "full-feature", K.TEXT),
    ('conn.phase == "full-feature"', "SCSI-Command", "full-feature", K.TEXT),
    ("session.type == Normal", "SCSI-Command", "Normal", K.TEXT),
    ("profile == rfc7144", "SCSI-Command", "rfc7144", K.TEXT),
    ("initiator.kind == embedded", "SCSI-Command", "embedded", K.TEXT),
    ('target.kind == "tgt"', "SCSI-Command", "tgt", K.TEXT),
    ("key.InitialR2T == Yes", "SCSI-Command", "Yes", K.TEXT),
    ('key.InitialR2T == "Yes"', "SCSI-Command", "Yes", K.TEXT),
    ("key.ErrorRecoveryLevel > 0", "SCSI-Command", 0, K.NUMBER),
    ("text.ImmediateData == Yes", "Login-Request", "Yes", K.TEXT),
    ('text.SendTargets == "All"', "Text-Request", "All", K.TEXT),
    ('CDB.name == "WRITE(10)"', "SCSI-Command", "WRITE(10)", K.TEXT),
    ("CDB.name == INQUIRY", "SCSI-Command", "INQUIRY", K.TEXT),
    ('CDB.name == "CDB-0xc0"', "SCSI-Command", "CDB-0xc0", K.TEXT),
    ('CDB.name like "WRITE*"', "SCSI-Command", "WRITE*", K.TEXT),
    ('data contains "abc"', "Data-Out", b"abc", K.BYTES),
    ("data startswith 0x00ff", "Data-Out", b"\0\xff", K.BYTES),
    ("CDB == 0x000000000000", "SCSI-Command", bytes(6), K.BYTES),
    ("sense == B/0C/0D", "SCSI-Response", (11, 12, 13), K.SENSE),
    ("conn.age > 1min", "SCSI-Command", 60.0, K.DURATION),
]


@pytest.mark.parametrize(("text", "pdus", "value", "kind"), LITERALS)
def test_a_literal_takes_its_meaning_from_the_other_side(text: str, pdus: str, value: object, kind: ValueKind) -> None:
    assert literal(text, pdus) == (value, kind)


def test_the_other_side_may_come_behind() -> None:
    expr = check("BUSY == Status", "SCSI-Response")
    assert isinstance(expr, Binary)
    assert isinstance(expr.left, Literal_)
    assert expr.left.value == 8


#: test, is it serial
SERIAL = [
    ("CmdSN == n.CmdSN + 1", True),
    ("CmdSN < n.CmdSN", True),
    ("CmdSN >= 5", True),
    ("5 <= CmdSN", True),
    ("session.CmdSN != CmdSN", True),
    ("EDTL < 5", False),
    ("LUN == 1", False),
    ("CDB.LBA >= EDTL", False),
]


@pytest.mark.parametrize(("text", "serial"), SERIAL)
def test_sequence_numbers_are_marked(text: str, serial: bool) -> None:
    expr = check(text)
    assert isinstance(expr, Binary)
    assert expr.serial is serial


def test_numbers_that_are_compared_with_serials_are_too() -> None:
    expr = check("BegRun <= m.StatSN", "SNACK")
    assert isinstance(expr, Binary)
    assert expr.serial


def test_sums_of_serials_wrap() -> None:
    expr = check("CmdSN == n.CmdSN + 1")
    assert isinstance(expr, Binary)
    assert isinstance(expr.right, Binary)
    assert (expr.right.kind, expr.right.serial) == (K.SERIAL, True)
    expr = check("CmdSN - session.ExpCmdSN < 4")
    assert isinstance(expr, Binary)
    assert (expr.left.kind, expr.serial) == (K.SERIAL, True)


def test_ranges_and_lists() -> None:
    expr = check("CmdSN in (n.CmdSN .. n.CmdSN + 4)")
    assert isinstance(expr, Range)
    assert expr.serial
    expr = check("Function in (LUN_RESET, TARGET_WARM_RESET, 7)", "TMF-Request")
    assert isinstance(expr, In)
    assert [item.value for item in expr.items if isinstance(item, Literal_)] == [5, 6, 7]
    expr = check("Reason in (9 .. 255)", "Reject")
    assert isinstance(expr, Range)
    assert not expr.serial


def test_logic_and_flags() -> None:
    expr = check("W and not I or EDTL > 3")
    assert isinstance(expr, Logic)
    inner = expr.operands[0]
    assert isinstance(inner, Logic)
    assert isinstance(inner.operands[0], Ref)
    assert isinstance(inner.operands[1], Not)


def test_absent_and_presence() -> None:
    for text in ("AHS == absent", "task != absent", "absent == AHS", "key.X-a == absent", "CDB.LBA != absent"):
        expr = check(text)
        assert isinstance(expr, Binary)
        assert isinstance(expr.left, Absent) or isinstance(expr.right, Absent)


def test_functions() -> None:
    for text in (
        "min(EDTL, 3, CDB.LBA) > 2",
        "max(conn.age, 5s) > 3s",
        "len(data) == 4",
        'len("abc") == 3',
        "random(1, 6) == 6",
        "uint(CDB, 2, 4) == CDB.LBA",
        "-EDTL < -(3 - 4)",
        "conn.age * 2 > n.at - 5s",
        "EDTL % 512 == 0 and EDTL & 0x1ff == 0",
        "EDTL / 2 == length",
    ):
        assert isinstance(check(text), Binary | Logic)
    expr = check("replica(n)")
    assert isinstance(expr, Call)
    assert isinstance(expr.arguments[0], Ref)
    assert (expr.arguments[0].capture, expr.kind) == ("n", K.TRUTH)


def test_unary_minus() -> None:
    expr = check("EDTL > -5")
    assert isinstance(expr, Binary)
    assert isinstance(expr.right, Unary)


def test_a_parameter_takes_its_meaning_from_the_other_side_too() -> None:
    assert literal("Status == $s", "SCSI-Response", s="BUSY") == (8, K.CODE)
    assert literal("text.A == $s", "Login-Request", s="hello world") == ("hello world", K.TEXT)
    assert literal("text.A == $s", "Login-Request", s='"hello"') == ("hello", K.TEXT)
    assert literal("text.A == $s", "Login-Request", s="5") == ("5", K.TEXT)
    assert literal("EDTL == $s", s="0x10") == (16, K.NUMBER)
    expr = check("$s == EDTL", s="CDB.LBA")
    assert isinstance(expr, Binary)
    assert isinstance(expr.left, Ref)


#: test, PDUs, column, part of the message, part of the hint
WRONG = [
    ("EDTL", "SCSI-Command", 1, "expected a test, not `EDTL`, a number", "`==`"),
    ("5", "SCSI-Command", 1, "expected a test, not `5`", ""),
    ("W and EDTL", "SCSI-Command", 7, "expected a test", ""),
    ("not CmdSN", "SCSI-Command", 5, "expected a test, not `CmdSN`, a sequence number", ""),
    ("ITT < 5", "SCSI-Command", 5, "`<` orders numbers", "a tag knows `==`, `!=` or `in` only"),
    ("ITT == LUN + 1", "SCSI-Command", 12, "`+` reckons with numbers", "a tag knows"),
    ("W < 1", "SCSI-Command", 3, "`<` orders numbers", ""),
    ("W == 2", "SCSI-Command", 6, "2 does not fit `W`, which holds 0 to 1", ""),
    (
        "EDTL == 0x100000000",
        "SCSI-Command",
        9,
        "does not fit `EDTL`",
        "",
    ),
    ("EDTL == 0x10000000000000000", "SCSI-Command", 9, "more than 64 bits", ""),
    ("Status == BUZY", "SCSI-Response", 11, "`Status` is never `BUZY`", "`BUSY`"),
    ("Status == CmdSN", "SCSI-Response", 11, "`Status` is never `CmdSN`", ""),
    ("Status > 2", "SCSI-Response", 8, "`>` orders numbers", ""),
    ("Response == TARGET_FAILURE", "SCSI-Response TMF-Response", 13, "only some of these PDUs", "number"),
    ("Status == Response", "SCSI-Response", 8, "never equal", ""),
    ("ATTR == SIMPEL", "SCSI-Command", 9, "`ATTR` is never `SIMPEL`", "`SIMPLE`"),
    ("conn.phase == fullfeature", "SCSI-Command", 15, "`conn.phase` is never `fullfeature`", "`full-feature`"),
    ('conn.phase == "login"', "SCSI-Command", 15, "`conn.phase` is never `login`", "security"),
    ('CDB.name == "WRITE10"', "SCSI-Command", 13, "`CDB.name` is never `WRITE10`", "`WRITE(10)`"),
    ("CDB.name == WRITE(10)", "SCSI-Command", 13, "there is no function `WRITE`", "double quotes"),
    ("text.A == All", "Login-Request", 11, "`All` has no meaning here", 'double quotes: "All"'),
    ("text.A == 5", "Login-Request", 8, "never equal", "double quotes"),
    ('text.A < "b"', "Login-Request", 8, "`<` orders numbers", ""),
    ('EDTL == "5"', "SCSI-Command", 6, "never equal", "double quotes"),
    ("EDTL contains 5", "SCSI-Command", 6, "`contains` looks into text or bytes", ""),
    ('data like "a*"', "Data-Out", 6, "`like` looks into text", ""),
    ("data == 0xabc", "Data-Out", 9, "is no bytes", "pairs of digits"),
    ("data == 5", "Data-Out", 9, "is no bytes", ""),
    ("sense == 5", "SCSI-Response", 7, "never equal", ""),
    ("AHS == 5", "SCSI-Command", 5, "never equal", "`absent`"),
    ("task", "R2T", 1, "expected a test", ""),
    ("AHS < absent", "SCSI-Command", 5, "`absent` is compared with `==` and `!=` only", ""),
    ("5 == absent", "SCSI-Command", 1, "only a name can be `absent`", ""),
    ("EDTL + 1 == absent", "SCSI-Command", 1, "only a name can be `absent`", ""),
    ("EDTL in (absent)", "SCSI-Command", 10, "`absent` is compared", ""),
    ("EDTL + absent == 1", "SCSI-Command", 6, "`+` reckons with numbers", ""),
    ("CmdSN * 2 == 4", "SCSI-Command", 7, "`*` reckons with numbers", ""),
    ("CmdSN + n.CmdSN == 4", "SCSI-Command", 7, "`+` reckons with numbers", ""),
    ("CmdSN == ITT", "SCSI-Command", 7, "never equal", ""),
    ("conn.age > 5", "SCSI-Command", 10, "`>` orders numbers", ""),
    ("(W == 1) == 1", "SCSI-Command", 10, "never equal", "`and` and `or`"),
    ("W + 1 == 2", "SCSI-Command", 3, "`+` reckons with numbers", ""),
    ("-W == 1", "SCSI-Command", 1, "`-` stands before a number", ""),
    ("LUN in (0 .. 3)", "SCSI-Command", 9, "a range is of numbers", ""),
    ("conn.CID == none", "SCSI-Command", 13, "`none` is ffffffff", ""),
    ("EDTL == none", "SCSI-Command", 9, "`none` has no meaning", "beside a tag"),
    ("ITT == fresh", "SCSI-Command", 8, "`fresh` has no meaning", "in acts"),
    ("foo(1) == 1", "SCSI-Command", 1, "there is no function `foo`", "there are min"),
    ("mni(1, 2) == 1", "SCSI-Command", 1, "there is no function `mni`", "`min`"),
    ("min(1) == 1", "SCSI-Command", 1, "`min` takes 2 or more arguments", ""),
    ("len(data, data) == 1", "Data-Out", 1, "`len` takes 1 arguments", ""),
    ("len(EDTL) == 1", "SCSI-Command", 5, "`len` takes bytes or text here", ""),
    ("min(CmdSN, 3) == 1", "SCSI-Command", 5, "`min` takes number here", ""),
    ("max(5s, 3) == 1s", "SCSI-Command", 9, "`max` takes duration here", ""),
    ("replica(5)", "SCSI-Command", 1, "takes the name of a capture", ""),
    ("replica(x)", "SCSI-Command", 9, "nothing in the file binds the name `x`", ""),
    ("replica(many)", "SCSI-Command", 9, "`many` is a list, not a PDU", ""),
    ("replica(ready)", "SCSI-Command", 9, "`ready` is full-feature, not a PDU", ""),
    ("replica(n) == 1", "SCSI-Command", 12, "never equal", ""),
]


@pytest.mark.parametrize(("text", "pdus", "column", "message", "hint"), WRONG)
def test_what_may_not_stand_together(text: str, pdus: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        check(text, pdus)
    assert message in caught.value.message
    assert caught.value.column == column
    assert hint in (caught.value.hint or "")


def test_a_parameter_that_is_no_value() -> None:
    with pytest.raises(FileError, match=r"`\$s` is `a b`, which is no value here"):
        check("EDTL == $s", s="a b")
