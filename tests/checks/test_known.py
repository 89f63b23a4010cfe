from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.known import Known, read_known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.checks.rules import Severity
from iscsiproxy.errors import FileError
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

RULES = ("T-006", "T-035", "I-011")
ENTRY = """\
- rule: T-006
  pdu: SCSI-Response Status=CHECK_CONDITION U
  cdb: INQUIRY
  clause: RFC 7143 11.1
  reason: it pads with
    what was there
"""


def finding(**values: object) -> Finding:
    made: dict[str, object] = {
        "rule": "T-006",
        "title": "Pad bytes are zero",
        "severity": Severity.SHOULD,
        "clause": "RFC 7143 11.1, RFC 7143 13.1",
        "blame": End.TARGET,
        "conn": 1,
        "at": 1.0,
        "n": 7,
        "text": "x",
        "label": "SCSI-Response",
        "cdb": "INQUIRY",
        "pdu": Pdu.build(Opcode.SCSI_RESPONSE, Status=2, U=1),
    }
    return Finding(**made | values)  # type: ignore[arg-type]


def test_an_entry_covers_what_it_says() -> None:
    (entry,) = read_known(ENTRY, "known.yaml", rules=RULES)
    assert entry.reason == "it pads with what was there"
    assert str(entry) == "T-006 SCSI-Response Status=CHECK_CONDITION U of INQUIRY (RFC 7143 11.1)"
    assert entry.covers(finding(), DEFAULT)


@pytest.mark.parametrize(
    "other",
    [
        {"rule": "T-035"},
        {"label": "Data-In"},
        {"clause": "RFC 7143 13.1"},
        {"cdb": "READ(10)"},
        {"pdu": Pdu.build(Opcode.SCSI_RESPONSE, Status=2)},
        {"pdu": Pdu.build(Opcode.SCSI_RESPONSE, Status=8, U=1)},
        {"pdu": None},
    ],
)
def test_and_nothing_else(other: dict[str, object]) -> None:
    (entry,) = read_known(ENTRY, "known.yaml", rules=RULES)
    assert not entry.covers(finding(**other), DEFAULT)


def test_a_text_key_narrows_it() -> None:
    text = "- {rule: T-006, pdu: Login-Response, key: HeaderDigest, clause: RFC 7143 11.1, reason: y}"
    (entry,) = read_known(text, "known.yaml", rules=RULES)
    assert str(entry) == "T-006 Login-Response of HeaderDigest (RFC 7143 11.1)"
    assert entry.covers(finding(label="Login-Response", key="HeaderDigest"), DEFAULT)
    assert not entry.covers(finding(label="Login-Response", key="DataDigest"), DEFAULT)
    assert not entry.covers(finding(label="Login-Response"), DEFAULT)


def test_a_clause_may_be_written_as_either_standard_has_it() -> None:
    found = finding(clause="RFC 3720 10.1")
    for clause in ("RFC 7143 11.1", "RFC 3720 10.1"):
        (entry,) = read_known(ENTRY.replace("RFC 7143 11.1", clause), "known.yaml", rules=RULES)
        assert entry.covers(found, Profile.RFC3720)


@pytest.mark.parametrize("shape", ["silence", "close", "Data-In", "SCSI-Command LUN=1 W=0", "NOP-In TTT=none ITT=0x5"])
def test_shapes(shape: str) -> None:
    text = f"- {{rule: I-011, pdu: {shape}, clause: x, reason: y}}"
    (entry,) = read_known(text, "known.yaml", rules=RULES)
    assert entry.label == shape.split(maxsplit=1)[0]
    assert len(entry.fields) == len(shape.split()) - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule: x", "known.yaml:1:1: expected a list"),
        ("- T-006", "known.yaml:1:3: expected an entry"),
        (ENTRY.replace("rule", "role"), "known.yaml:1:3: an entry has no `role` (did you mean `rule`?)"),
        (ENTRY.replace("T-006", "T-066"), "known.yaml:1:9: there is no rule `T-066` (did you mean `T-006`?)"),
        (ENTRY.replace("SCSI-R", "SCSI-r"), "there is no PDU `SCSI-response` (did you mean `SCSI-Response`?)"),
        (ENTRY.replace("Status", "status"), "SCSI-Response has no field `status` (did you mean `Status`?)"),
        (ENTRY.replace("CHECK_", "CHEK_"), "Status has no value `CHEK_CONDITION` (did you mean `CHECK_CONDITION`?)"),
        (ENTRY.replace(" U\n", " U=2\n"), "U is a flag: 0 or 1, not `2`"),
        (ENTRY.replace("SCSI-Response", "silence"), "`silence` has no fields"),
        (ENTRY.replace("cdb: INQUIRY", "key: Headerdigest"), "no text key `Headerdigest` (did you mean `HeaderDigest`"),
        (ENTRY.replace("INQUIRY", "INQIRY"), "there is no SCSI command `INQIRY` (did you mean `INQUIRY`?)"),
        (ENTRY.replace("reason: it pads with\n    what was there", "reason:"), "`reason` is one text"),
        ("\n".join(ENTRY.splitlines()[:3]), "the entry has no `clause`"),
        (ENTRY.replace("rule: T-006", "rule: [T-006]"), "`rule` is one text"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        read_known(text, "known.yaml", rules=RULES)
    assert message in str(caught.value)


def test_what_was_not_met_is_told() -> None:
    known = Known(read_known(ENTRY + ENTRY.replace("T-006", "T-035"), "known.yaml", rules=RULES))
    assert known.reason(finding(), DEFAULT)
    assert not known.reason(finding(cdb=""), DEFAULT)
    assert [one.rule for one in known.unmet] == ["T-035"]
    assert repr(known) == "<Known 2 deviations, 1 met>"
