from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.language.captures import Captures
from iscsiproxy.language.checker import Checker
from iscsiproxy.language.expressions import parse_expression
from iscsiproxy.language.names import Hand, Names
from iscsiproxy.language.spec import NOWHERE, Expr, ValueKind
from iscsiproxy.language.written import value_text, written
from iscsiproxy.wire.opcodes import Opcode
from tests.language.samples import NO_PARAMETERS, scalar

COMMAND = frozenset({int(Opcode.SCSI_COMMAND)})
RESPONSE = frozenset({int(Opcode.SCSI_RESPONSE)})


def checked(text: str, opcodes: frozenset[int]) -> Expr:
    captures = Captures()
    captures.add("n", NOWHERE, opcodes=COMMAND)
    captures.add("all", NOWHERE, opcodes=COMMAND, each=True)
    names = Names(captures, Hand(opcodes))
    return Checker(names).test(parse_expression(scalar(text), NO_PARAMETERS))


@pytest.mark.parametrize(
    ("text", "opcodes"),
    [
        ("W and not I", COMMAND),
        ("not (W or R) and EDTL >= 65536", COMMAND),
        ("(W or R) and (I or F) or CmdSN == n.CmdSN + 1", COMMAND),
        ("EDTL - (length + 1) == 2 * (3 + 4)", COMMAND),
        ("EDTL - 1 - 2 == 3 and -EDTL < 0", COMMAND),
        ("EDTL / 2 * 3 == 8 / (EDTL / 2)", COMMAND),
        ("ITT != none and ITT == 0x12 and LUN == 0x1", COMMAND),
        ("ATTR in (SIMPLE, ORDERED) and EDTL in (1 .. 512)", COMMAND),
        ('CDB.name == "WRITE(10)"', COMMAND),
        ("Status == CHECK_CONDITION and sense == B/0C/0D", RESPONSE),
        ("task.ATTR == SIMPLE and task.age > 200ms and task.age < 5s", RESPONSE),
        ("task == absent or key.MaxBurstLength != absent", RESPONSE),
        ("declared.target.MaxRecvDataSegmentLength > min(512, conn.nth)", RESPONSE),
        ("all.first.CmdSN < all.last.CmdSN and all.count > 3", COMMAND),
        ("replica(n) and uint(data, 0, 4) == 1", COMMAND),
        ('data startswith 0x0102 and BHS.1.6 and session.type == "Normal"', COMMAND),
    ],
)
def test_what_is_written_again_is_what_was_written(text: str, opcodes: frozenset[int]) -> None:
    assert written(checked(text, opcodes), opcodes) == text


def test_a_code_without_a_name_is_its_number() -> None:
    assert written(checked("Status == 0x7f", RESPONSE), RESPONSE) == "Status == 127"
    assert written(checked("Status == 2", RESPONSE), RESPONSE) == "Status == CHECK_CONDITION"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, ValueKind.NUMBER, "absent"),
        (3, ValueKind.NUMBER, "3"),
        (0xFFFFFFFF, ValueKind.TAG, "none"),
        (18, ValueKind.TAG, "0x12"),
        (0.25, ValueKind.DURATION, "250ms"),
        (90.0, ValueKind.DURATION, "90s"),
        ((11, 12, 13), ValueKind.SENSE, "B/0C/0D"),
        (bytes(16), ValueKind.BYTES, "0x" + "00" * 16),
        (bytes(512), ValueKind.BYTES, "0x" + "00" * 16 + "… (512 bytes)"),
        ("x" * 61, ValueKind.TEXT, '"' + "x" * 60 + '…"'),
        (True, ValueKind.TRUTH, "true"),
        (b"x", ValueKind.PRESENCE, "there"),
    ],
)
def test_values_are_written_by_their_kind(value: Any, kind: ValueKind, text: str) -> None:
    assert value_text(value, kind) == text
