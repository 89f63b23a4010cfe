"""Faults of the catalogue on real peers: QEMU writes to tgtd and reads back, with one fault in between.

Both legs differ in the fault and in nothing else, byte for byte; tshark reads the fault on the leg of the victim, by
the name of its field. Where the proxy adds or takes away what is numbered, each leg counts on without a gap. Every
check is put to the same traffic without a fault too, and must then fail.

What the victim did is in the property `story` of each test, and in `saw` where it is worth knowing: that is the habit
of tgt 1.0.85 and of QEMU 7.2 with libiscsi 1.19, and no verdict.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogue.rows import rows
from tests.real.cases import Case
from tests.real.cases_of_initiators import OF_INITIATORS
from tests.real.cases_of_targets import OF_TARGETS
from tests.real.catalogued import DISARMED, Run, play
from tests.real.evidence import clean

__all__ = ["ROWS"]

pytestmark = pytest.mark.peers("tgtd", "qemu", "tshark")

#: The rows of the catalogue that are shown here.
ROWS = (
    *("LOG-01", "LOG-02", "LOG-05", "LOG-12", "LOG-22", "LOG-29", "LOG-41", "LOG-42"),
    *("SEC-01", "SEC-02", "SEC-05"),
    *(
        "SEQ-01",
        "SEQ-02",
        "SEQ-04",
        "SEQ-05",
        "SEQ-08",
        "SEQ-14",
        "SEQ-15",
        "SEQ-16",
        "SEQ-17",
        "SEQ-18",
        "SEQ-23",
        "SEQ-24",
    ),
    *("DAT-07", "DAT-09", "DAT-10", "DAT-11", "DAT-16", "DAT-20", "DAT-25", "DAT-32", "DAT-39"),
    *("DIG-01", "DIG-12", "DIG-17"),
    *("TMF-04", "TMF-05", "TMF-08"),
    *("NOP-01", "NOP-02", "NOP-07"),
    *("ASY-01", "ASY-03", "ASY-09"),
    *("CON-02", "CON-03", "CON-15"),
    *("TCP-01", "TCP-03", "TCP-04"),
    *("SCS-01", "SCS-02", "SCS-03", "SCS-04", "SCS-10"),
    "GAR-01",
)

CASES = (*OF_TARGETS, *OF_INITIATORS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
async def test_it_is_on_the_wire_as_the_catalogue_says(
    case: Case, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = await play(case.rules, case.traffic, tmp_path)
    request.node.user_properties.append(("story", run.story))
    assert run.named("fired") or run.named("noted")
    assert run.named("warning") == []
    case.check(run)


def is_seen(case: Case, run: Run) -> bool:
    """Tell whether the check of a row is content with a run."""
    try:
        case.check(run)
    except (AssertionError, ValueError):
        return False
    return True


@pytest.mark.parametrize("traffic", sorted({case.traffic.name for case in CASES}))
async def test_without_the_fault_every_check_fails(traffic: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.traffic.name == traffic]
    run = await play(DISARMED, cases[0].traffic, tmp_path)
    assert run.named("fired") == []
    assert run.differences == []
    clean(run)
    assert [case.row for case in cases if is_seen(case, run)] == []


def test_the_rows_are_those_of_the_catalogue() -> None:
    assert sorted(case.row for case in CASES) == sorted(ROWS)
    assert set(ROWS) <= set(rows())
    assert len(set(ROWS)) == len(ROWS)
