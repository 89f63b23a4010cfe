"""What can never happen: for each kind one file in which it cannot, and one next to it in which it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load_all
from iscsiproxy.language.never import Finding, never
from tests.language.samples import WORKED

FAULTS = Path(__file__).parents[2] / "faults"
FILES = sorted([*WORKED.glob("*.yaml"), *FAULTS.rglob("*.yaml")])


def found(text: str) -> tuple[Finding, ...]:
    if "scenario:" not in text:
        text = f"scenario: x\nvictim: target\n{text}"
    file = f"{text.partition('scenario: ')[2].split()[0]}.yaml"
    return never(load_all(text, file=file, acts=SPECS, built=False), text)


def rules(*lines: str) -> str:
    return "rules:\n" + "".join(f"  - {line}\n" for line in lines)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_all_can_happen_in_the_scenarios_there_are(file: Path) -> None:
    text = file.read_text()
    assert found(text) == ()


#: A test that is never true, and one next to it that may be.
TESTS = [
    ("SCSI-Command where W and not W", "SCSI-Command where W and not R"),
    ("SCSI-Command where W and (R and not W)", "SCSI-Command where W and (R or not W)"),
    ("Data-Out where DataSN == 2 and DataSN == 3", "Data-Out where DataSN == 2 or DataSN == 3"),
    ("Data-Out where DataSN > 5 and DataSN < 3", "Data-Out where DataSN > 3 and DataSN < 5"),
    ("Data-Out where DataSN > 3 and DataSN < 4", "Data-Out where DataSN > 3 and DataSN <= 4"),
    ("Data-Out where 5 < DataSN and 3 > DataSN", "Data-Out where 3 < DataSN and 5 > DataSN"),
    ("Data-Out where not DataSN >= 0", "Data-Out where not DataSN > 0"),
    (
        "Data-Out where DataSN in (1, 2) and DataSN in (3 .. 9)",
        "Data-Out where DataSN in (1, 3) and DataSN in (3 .. 9)",
    ),
    ("Data-Out where DataSN in (9 .. 3)", "Data-Out where DataSN in (3 .. 3)"),
    ("SCSI-Command where F == 0 and F", "SCSI-Command where F == 1 and F"),
    (
        "SCSI-Response where Status in (BUSY, GOOD) and Status == ACA_ACTIVE",
        "SCSI-Response where Status in (BUSY, GOOD)",
    ),
    ("SCSI-Command where PRI > 15", "SCSI-Command where PRI > 14"),
    ("Data-Out where length > 0xffffff", "Data-Out where length >= 0xffffff"),
    ("Data-Out where length < 0", "Data-Out where length <= 0"),
    ("SCSI-Command where key.ErrorRecoveryLevel > 2", "SCSI-Command where key.ErrorRecoveryLevel >= 2"),
    ("SCSI-Command where key.FirstBurstLength < 512", "SCSI-Command where key.FirstBurstLength <= 512"),
    ("SCSI-Command where CmdSN == 1 and CmdSN == 2", "SCSI-Command where CmdSN > 5 and CmdSN < 3"),
    ("SCSI-Command where CmdSN != CmdSN", "SCSI-Command where CmdSN != session.CmdSN"),
    ("SCSI-Command where ITT == none and ITT != none", "SCSI-Command where ITT != none and ITT != 1"),
    (
        'SCSI-Command where CDB.name == "READ(10)" and CDB.name startswith "WRITE"',
        'SCSI-Command where CDB.name == "WRITE(10)" and CDB.name startswith "WRITE"',
    ),
    (
        'SCSI-Command where CDB.name in ("READ(10)", "READ(16)") and CDB.name like "WRITE*"',
        'SCSI-Command where CDB.name in ("READ(10)", "WRITE(16)") and CDB.name like "WRITE*"',
    ),
    ("SCSI-Response where sense == B/0C/0C and sense == B/0C/0D", "SCSI-Response where sense in (B/0C/0C, B/0C/0D)"),
    (
        'Text-Request where text.SendTargets == absent and text.SendTargets == "All"',
        'Text-Request where text.SendTargets == absent or text.SendTargets == "All"',
    ),
    ("SCSI-Response where task.age > 5s and task.age < 2s", "SCSI-Response where task.age > 2s and task.age < 5s"),
    ("Data-Out where BHS.3 > 255", "Data-Out where BHS.3 > 254"),
    ("Data-Out where 1 == 2", "Data-Out where DataSN == 2"),
    ("SCSI-Command or Data-Out where W and DataSN > 0", "SCSI-Command or Data-Out where W or DataSN > 0"),
    ("SCSI-Response or R2T where Status == GOOD and R2TSN == 1", "SCSI-Response or R2T where not U and not R2TSN == 1"),
    ("SCSI-Command where (W or R) and not W and not R", "SCSI-Command where (W or R) and not W"),
]


@pytest.mark.parametrize(("dead", "live"), TESTS)
def test_a_test_that_contradicts_itself(dead: str, live: str) -> None:
    (finding, *more) = found(rules(f"{{when: '{dead}', do: note x}}".replace("note x", "{note: x}")))
    assert more == []
    assert (finding.what, finding.severity) == ("contradiction", "error")
    assert finding.message.startswith("this rule can never fire: ")
    assert finding.line == 4
    assert found(rules(f"{{when: '{live}', do: {{note: x}}}}")) == ()


#: The kind of a finding, a file that has it, and one next to it that has not.
FILES_OF = [
    # picks
    ("picks", rules("{when: R2T nth 5 every 2, do: drop}"), rules("{when: R2T nth 4..5 every 2, do: drop}")),
    ("picks", rules("{when: R2T nth 3 mask 01, do: drop}"), rules("{when: R2T nth 3 mask 10, do: drop}")),
    (
        "picks",
        rules("{when: R2T nth 1..4 every 2 mask 001, do: drop}"),
        rules("{when: R2T nth 1..4 every 2 mask 01, do: drop}"),
    ),
    # names
    (
        "unbound",
        rules("{when: R2T where CSG == 5 as r}".replace("CSG == 5", "R2TSN < 0"), "{when: Data-Out of r, do: drop}"),
        rules("{when: R2T where R2TSN < 1 as r}", "{when: Data-Out of r, do: drop}"),
    ),
    (
        "unbound",
        rules("{when: SCSI-Command where CmdSN > b.CmdSN as a, do: drop}", "{when: SCSI-Command of a as b}"),
        rules(
            "{when: SCSI-Command where CmdSN > b.CmdSN as a, do: drop}",
            "{when: SCSI-Command nth 1 as b}",
            "{when: R2T of a, do: drop}",
        ),
    ),
    (
        "unbound",
        rules("{when: SCSI-Command where CmdSN > n.CmdSN as n, do: drop}"),
        rules("{when: SCSI-Command nth 1 as n then SCSI-Command where CmdSN > n.CmdSN, do: drop}"),
    ),
    # belonging
    (
        "belonging",
        rules("{when: NOP-Out nth 1 as x}", "{when: R2T of x, do: drop}"),
        rules("{when: NOP-Out nth 1 as x}", "{when: NOP-In of x, do: drop}"),
    ),
    (
        "belonging",
        rules("{when: Async nth 1 as x}", "{when: SCSI-Response of x, do: drop}"),
        rules("{when: Reject nth 1 as x}", "{when: SCSI-Response of x, do: drop}"),
    ),
    (
        "belonging",
        rules("{when: Login-Request nth 1 as x}", "{when: Text-Response of x, do: drop}"),
        rules("{when: full-feature nth 1 as x}", "{when: Text-Response of x, do: drop}"),
    ),
    # direction
    (
        "direction",
        rules("{when: connect from target, do: refuse}"),
        rules("{when: connect from initiator, do: refuse}"),
    ),
    ("direction", rules("{when: full-feature at target, do: close}"), rules("{when: close at target, do: close}")),
    # until
    ("until", rules("{when: 5s, do: close, until: 2s}"), rules("{when: 2s, do: close, until: 5s}")),
    ("until", rules("{when: R2T nth 2, do: drop, until: R2T}"), rules("{when: R2T nth 2, do: drop, until: R2T nth 3}")),
    (
        "until",
        rules("{when: R2T where R2TSN == 1, do: drop, until: R2T}"),
        rules("{when: R2T, do: drop, until: R2T where R2TSN == 1}"),
    ),
    # shadows
    (
        "shadowed",
        rules("{when: Data-Out, do: drop}", "{when: Data-Out where F, do: drop}"),
        rules("{when: Data-Out where F, do: drop}", "{when: Data-Out, do: drop}"),
    ),
    (
        "shadowed",
        rules("{when: Data-Out nth 3, do: drop}", "{when: Data-Out nth 3, do: {set: {F: 0}}}"),
        rules("{when: Data-Out nth 3, do: drop}", "{when: Data-Out nth 2, do: {set: {F: 0}}}"),
    ),
    (
        "shadowed",
        rules("{when: Data-Out or R2T, do: close}", "{when: R2T, do: {note: x}}"),
        rules("{when: Data-Out or R2T, do: drop}", "{when: R2T, do: {note: x}}"),
    ),
    (
        "shadowed",
        rules(
            "{when: Data-Out chance 50%, do: drop}", "{when: Data-Out, do: drop}", "{when: Data-Out, do: resize}"
        ).replace("do: resize", "do: {resize: 0}"),
        rules("{when: Data-Out chance 50%, do: drop}", "{when: Data-Out, do: drop}"),
    ),
    # windows and expectations
    (
        "window",
        rules("{when: R2T nth 1, do: drop}") + "expect:\n  - never: R2T\n    after: R2T where R2TSN < 0\n",
        rules("{when: R2T nth 1, do: drop}") + "expect:\n  - never: R2T\n    after: R2T where R2TSN < 1\n",
    ),
    (
        "window",
        rules("{when: R2T nth 1, do: drop}") + "expect:\n  - never: R2T\n    within: 0s\n",
        rules("{when: R2T nth 1, do: drop}") + "expect:\n  - never: R2T\n    within: 1ms\n",
    ),
    (
        "contradiction",
        rules("{when: R2T nth 1, do: drop}") + "expect:\n  - exactly: 1 R2T where R2TSN < 0\n",
        rules("{when: R2T nth 1, do: drop}") + "expect:\n  - exactly: 1 R2T where R2TSN == 0\n",
    ),
    (
        "covered",
        rules("{when: R2T nth 1, do: drop}")
        + "expect:\n  - first:\n    - fail: R2T\n    - pass: R2T where R2TSN == 0\n",
        rules("{when: R2T nth 1, do: drop}")
        + "expect:\n  - first:\n    - pass: R2T where R2TSN == 0\n    - fail: R2T\n",
    ),
    (
        "needs",
        "needs: [initiator.depth < 0]\n" + rules("{when: R2T, do: drop}"),
        "needs: [initiator.depth <= 1]\n" + rules("{when: R2T, do: drop}"),
    ),
    # negotiation
    (
        "contradiction",
        "negotiate: {initiator: {ErrorRecoveryLevel: 1}}\n"
        + rules("{when: SCSI-Command where key.ErrorRecoveryLevel == 2, do: drop}"),
        "negotiate: {target: {ErrorRecoveryLevel: 1}}\n"
        + rules("{when: SCSI-Command where key.ErrorRecoveryLevel == 2, do: drop}"),
    ),
    (
        "contradiction",
        "negotiate: {initiator: {DataDigest: CRC32C}}\n"
        + rules('{when: SCSI-Command where key.DataDigest == "None", do: drop}'),
        "negotiate: {initiator: {DataDigest: CRC32C}}\n"
        + rules("{when: SCSI-Command at target where key.DataDigest == None, do: {note: x}}"),
    ),
    (
        "aftermath",
        rules("{when: R2T nth 1, do: close}") + "aftermath: survives\n",
        rules("{when: R2T nth 1, do: {close: {end: initiator}}}") + "aftermath: survives\n",
    ),
    (
        "aftermath",
        rules("{when: R2T nth 1, do: close}") + "aftermath: survives\n",
        rules("{when: R2T nth 1, do: close}") + "aftermath: recovers\n",
    ),
    (
        "traffic",
        "traffic: {io: discovery}\n" + rules("{when: SCSI-Command nth 1, do: drop}"),
        "traffic: {io: discovery}\n" + rules("{when: SCSI-Command or Text-Request nth 1, do: drop}"),
    ),
    # what nobody uses, and codes that nobody knows
    (
        "unused",
        rules("{when: R2T nth 1 as r, do: drop}"),
        rules("{when: R2T nth 1 as r, do: drop}", "{when: r, do: {note: x}}"),
    ),
    (
        "axis:n",
        "matrix: {n: 1..2}\n" + rules("{when: R2T nth 1, do: drop}"),
        "matrix: {n: 1..2}\n" + rules("{when: R2T nth $n, do: drop}"),
    ),
    (
        "reserved",
        rules("{when: SCSI-Response where Status == 0x7f, do: drop}"),
        rules("{when: SCSI-Response where Status == 0x40, do: drop}"),
    ),
    (
        "half:Data-Out",
        rules("{when: SCSI-Command or Data-Out where W, do: drop}"),
        rules("{when: SCSI-Command or Data-Out where length > 0, do: drop}"),
    ),
    (
        "state",
        "machines: {m: {states: {a: [{when: 1s, do: {goto: a}}], b: [{when: 1s, do: {goto: a}}]}}}\n",
        "machines: {m: {states: {a: [{when: 1s, do: {goto: b}}], b: [{when: 1s, do: {goto: a}}]}}}\n",
    ),
    # rules that nothing arms
    (
        "unarmed",
        rules("{name: a, armed: no, when: R2T, do: drop}"),
        rules("{name: a, armed: no, when: R2T, do: drop}", "{when: Data-Out, do: {arm: a}}"),
    ),
    (
        "unarmed",
        rules(
            "{name: a, armed: no, when: R2T, do: {arm: b}}",
            "{name: b, armed: no, when: Data-Out, do: {arm: a}}",
        ),
        rules(
            "{name: a, armed: no, when: R2T, do: {arm: b}}",
            "{name: b, armed: no, when: Data-Out, do: {note: x}}",
            "{when: 1s, do: {arm: a}}",
        ),
    ),
    # waits that are cut off
    ("at_most", rules("{when: R2T, do: {delay: 90s}}"), rules("{when: R2T, do: {delay: 60s}}")),
    (
        "at_most",
        rules("{when: R2T, do: {delay: {until: 3s, at_most: 1s}}}"),
        rules("{when: R2T, do: {delay: {until: 90s, at_most: 91s}}}"),
    ),
    (
        "at_most",
        rules("{when: R2T, do: {stall: Data-Out then 40s then 21s}}"),
        rules("{when: R2T, do: {stall: [Data-Out then 40s then 21s, 1s]}}"),
    ),
    ("at_most", "actor:\n  - {login: {as: A}}\n  - {delay: 61s}\n", "actor:\n  - {login: {as: A}}\n  - {delay: 1s}\n"),
    # digests of PDUs that have none
    (
        "digest",
        rules("{when: Login-Request nth 1, do: {corrupt: header-digest}}"),
        rules("{when: Login-Request nth 1, do: {corrupt: {what: header-digest, digest: added}}}"),
    ),
    (
        "digest",
        rules("{when: Login-Request or Login-Response, do: {corrupt: {what: data-digest, digest: unpadded}}}"),
        rules("{when: Login-Request or Text-Request, do: {corrupt: data-digest}}"),
    ),
    (
        "digest",
        rules("{when: SCSI-Command then Login-Request, do: {corrupt: data-digest}}"),
        rules("{when: Login-Request then SCSI-Command, do: {corrupt: data-digest}}"),
    ),
    ("digest", rules("{when: Login-Request, do: {corrupt: data-digest}}"), rules("{when: R2T, do: {corrupt: header}}")),
    # what a PDU finds when it comes
    (
        "contradiction",
        rules("{when: SCSI-Command where conn.phase == security, do: drop}"),
        rules("{when: Login-Request where conn.phase == security, do: drop}"),
    ),
    (
        "contradiction",
        rules("{when: 'R2T where conn.phase in (security, operational)', do: drop}"),
        rules("{when: 'R2T where conn.phase in (security, full-feature)', do: drop}"),
    ),
    (
        "contradiction",
        rules("{when: NOP-In where conn.phase == connected, do: drop}"),
        rules(
            "{when: NOP-In where conn.phase == connected, do: drop}",
            "{when: Login-Request, do: {inject: {pdu: NOP-Out}}}",
        ),
    ),
    (
        "contradiction",
        rules("{when: NOP-Out where conn.phase == operational, do: drop}"),
        rules("{when: NOP-Out at target where conn.phase == operational, do: {note: x}}"),
    ),
    (
        "contradiction",
        rules("{when: Initiator-PDU where conn.phase == security and W, do: drop}"),
        rules("{when: Initiator-PDU where conn.phase == security, do: drop}"),
    ),
    (
        "contradiction",
        rules("{when: R2T where conn.phase == security, do: drop}"),
        rules("{when: Reject or Opcode-0x1c where conn.phase == security, do: drop}")
        + "expect: [{never: R2T where conn.phase == security}]\n",
    ),
    (
        "retry",
        rules("{when: SCSI-Command where task.R2Ts > 0, do: drop}"),
        rules("{when: Data-Out where task.R2Ts > 0, do: drop}"),
    ),
    (
        "retry",
        rules("{when: SCSI-Command where W and task.received >= 1, do: drop}"),
        rules("{when: SCSI-Command where W and task.received < 1, do: drop}"),
    ),
    (
        "retry",
        rules(
            "{when: SCSI-Command nth 1 as n}", "{when: SCSI-Command where task.received > 0 and CmdSN == n.CmdSN}"
        ).replace("n.CmdSN}", "n.CmdSN, do: drop}"),
        rules("{when: SCSI-Command nth 1 as n}", "{when: SCSI-Command of n where task.received > 0, do: drop}"),
    ),
    (
        "contradiction",
        rules("{when: R2T nth 1, do: {delay: R2T where R2TSN < 0}}"),
        rules("{when: R2T nth 1, do: {delay: R2T where R2TSN < 2}}"),
    ),
]


@pytest.mark.parametrize(("what", "dead", "live"), FILES_OF)
def test_what_never_happens_and_what_is_next_to_it(what: str, dead: str, live: str) -> None:
    assert what in [one.what for one in found(dead)]
    assert found(live) == ()


def test_a_cause_is_told_where_it_is_written() -> None:
    (finding,) = found(rules("{when: Data-Out where DataSN > 5 and DataSN < 3, do: drop}"))
    assert str(finding) == ("x.yaml:4:42: this rule can never fire: `DataSN > 5` and `DataSN < 3` are never both true")


def test_a_value_that_a_name_never_has_is_told_with_those_it_has() -> None:
    (finding,) = found(rules("{when: SCSI-Command where key.ErrorRecoveryLevel > 2, do: drop}"))
    assert finding.message.endswith(
        "`key.ErrorRecoveryLevel > 2` is never true: `key.ErrorRecoveryLevel` is 0 to 2",
    )


def test_a_rule_that_may_fire_at_another_moment_is_only_warned_of() -> None:
    (finding,) = found(rules("{when: [R2T where R2TSN < 0, R2T nth 1], do: drop}"))
    assert (finding.severity, finding.message[:25]) == ("warning", "this moment never comes: ")


def test_what_only_some_runs_of_a_matrix_cannot_do_is_not_told() -> None:
    text = "matrix: {pdu: [SCSI-Command, NOP-Out]}\n" + rules("{when: $pdu nth 1 as x}", "{when: R2T of x, do: drop}")
    assert found(text) == ()
    text = text.replace("SCSI-Command", "Text-Request")
    assert [one.what for one in found(text)] == ["belonging"]


def test_a_name_that_acts_bind_may_be_anything() -> None:
    text = rules("{when: NOP-Out where ITT != none, do: {swap: {pdu: TMF-Request, Function: LUN_RESET, as: x}}}")
    assert found(text + "expect: [{never: R2T of x}]\n") == ()


def test_what_cannot_be_comes_with_a_way_out() -> None:
    (late,) = found(rules("{when: R2T, do: {delay: 90s}}"))
    assert str(late) == (
        "x.yaml:4:22: `delay 90s` is ended after 60 s by its `at_most`, and never comes about "
        "(give it a longer `at_most`, such as `at_most: 180s`)"
    )
    (early,) = found(rules("{when: SCSI-Command where conn.phase == security, do: drop}"))
    assert early.message.endswith("is never true: a SCSI-Command comes when `conn.phase` is full-feature")
    (fresh,) = found(rules("{when: SCSI-Command where task.R2Ts > 0, do: drop}"))
    assert (fresh.severity, fresh.message) == (
        "warning",
        "nothing but a retry matches this: `task.R2Ts > 0` is never true: `task.R2Ts` is 0 for a new command",
    )
    (bare,) = found(rules("{when: Login-Request, do: {corrupt: header-digest}}"))
    assert str(bare).endswith(
        "a Login-Request never has a digest (RFC 7143 13.1) "
        "(`corrupt: {what: header-digest, digest: added}` gives it one)"
    )
