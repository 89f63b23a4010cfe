from __future__ import annotations

import pytest

from iscsiproxy.checks.disk import Kind
from iscsiproxy.checks.invariants.disks import FAMILY, KINDS
from iscsiproxy.checks.rules import Rule, Severity
from iscsiproxy.wire.opcodes import End
from tests.checks.cases import Case, judged, prove
from tests.checks.storing import BOTH, COMPARE, LOGIN, NEW, OLD, TWICE, UNKNOWN, A, B, C, read, write
from tests.checks.watching import moments

__all__: list[str] = []

WRITTEN = "login\n> SCSI-Command cdb=WRITE(10):8+4 data=2048*a5\n< SCSI-Response\n"
READ = "> SCSI-Command cdb=READ(10):8+{}\n< Data-In data={}*a5 F S\n"


def of(rule: str, good: str, right: str, wrong: str, short: str = UNKNOWN) -> Case:
    """Make a case of a journal that ends in a read or compare, and of what is wrong about it."""
    return Case(rule=rule, good=good + right, bad=good + wrong, short=short, mutant=(good + right, good + wrong))


CASES = (
    of("D-001", LOGIN + OLD + NEW, read("8+1", B), read("8+1", A), short=LOGIN + OLD + NEW),
    of("D-002", LOGIN + OLD + NEW + read("8+1", B), read("8+1", B), read("8+1", A)),
    of("D-003", TWICE, read("8+2", f"{B},{B}"), read("8+2", f"{B},{A}"), short=TWICE),
    of("D-004", BOTH, read("8+1", B), read("8+1", A), short=BOTH),
    of("D-005", LOGIN + OLD + write("8+1", B, answer="Status=BUSY"), read("8+1", A), read("8+1", B)),
    of("D-006", LOGIN + OLD, read("8+1", A), read("8+1", C)),
    of(
        "D-007",
        LOGIN + OLD,
        COMPARE.format(A, B, ""),
        COMPARE.format(C, B, ""),
        short=LOGIN + COMPARE.format(A, B, ""),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def test_each_kind_has_its_rule() -> None:
    assert set(KINDS) == set(Kind)
    assert [rule.id for rule in KINDS.values()] == [f"D-{number:03}" for number in range(1, len(Kind) + 1)]
    assert FAMILY.rules == tuple(KINDS.values())


@pytest.mark.parametrize("rule", FAMILY.rules, ids=lambda rule: rule.id)
def test_nobody_asks_them_anything(rule: Rule) -> None:
    assert not rule.sent | rule.given | rule.spoiled
    assert not rule.closed
    assert moments(WRITTEN, rule.check) == []
    assert (rule.blame, rule.severity) == (End.TARGET, Severity.MUST)


def test_their_evidence_is_the_sectors_that_were_judged_on_the_targets_leg() -> None:
    for text, sectors in (
        (WRITTEN, 0),
        (WRITTEN + READ.format(4, 2048), 4),
        (WRITTEN + READ.format(4, 2048) + READ.format(1, 512), 5),
        (WRITTEN + READ.format(2, 1024).replace(" F S", " F S ! data=1024*5a"), 2),
        # What nothing was known of was not judged.
        ("login\n" + READ.format(4, 2048), 0),
    ):
        evidence = judged(text).evidence
        assert [evidence[rule.id] for rule in FAMILY.rules] == [sectors] * len(FAMILY.rules)
