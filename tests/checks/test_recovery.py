from __future__ import annotations

import pytest

from iscsiproxy.checks.recovery import Recoveries, Recovery
from iscsiproxy.session.events import Event
from tests.checks.dialogue import records_of

__all__: list[str] = []

WELL = "> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response\n"


def recoveries(text: str) -> tuple[Recovery, ...]:
    found = Recoveries()
    for record in records_of(text):
        assert isinstance(record.entry, Event)
        found.take(record.entry)
    return found.all


def test_the_time_runs_from_the_fault_to_the_first_good_answer() -> None:
    (one,) = recoveries(f"login\n{WELL}fired drop\n+2\n{WELL}{WELL}")
    assert one.what == "x/y drop"
    assert one.seconds == pytest.approx(2.0, abs=0.1)


def test_a_command_that_was_under_way_proves_nothing() -> None:
    (one,) = recoveries("login\n> SCSI-Command cdb=TEST-UNIT-READY\nfired drop\n+2\n< SCSI-Response")
    assert one.seconds is None


@pytest.mark.parametrize(
    "answer",
    ["< SCSI-Response Status=BUSY", "< SCSI-Response Response=TARGET_FAILURE", "< Data-In data=4", "<x SCSI-Response"],
)
def test_what_is_not_good_or_does_not_come_is_no_recovery(answer: str) -> None:
    one = recoveries(f"login\nfired drop\n> SCSI-Command cdb=TEST-UNIT-READY\n{answer}")[0]
    assert one.seconds is None


def test_a_reset_is_a_disturbance_too_and_a_note_is_none() -> None:
    found = recoveries(f"login\nfired note\nclose initiator rst\n+1\nconn 2\nlogin\n{WELL}")
    assert [one.what for one in found] == ["reset by the peer"]
    assert found[0].seconds == pytest.approx(1.0, abs=0.1)


def test_status_in_the_last_data_counts() -> None:
    (one,) = recoveries("login\nfired drop\n> SCSI-Command cdb=READ(10):0+1\n< Data-In data=512 F S")
    assert one.seconds is not None
