from __future__ import annotations

from iscsiproxy.peers.workload.plan import Kind
from iscsiproxy.peers.workload.tally import Tally


def test_the_longest_stall_is_with_something_in_flight() -> None:
    tally = Tally(run=1, kept=5)
    tally.begun(0.0)
    tally.begun(1.0)
    tally.over(2.0)
    tally.over(5.0)
    tally.begun(100.0)
    tally.over(101.0)
    assert tally.report(101.0, recoveries=0).longest_stall == 3.0


def test_rates_are_those_of_the_load_and_not_of_the_reading_after_it() -> None:
    tally = Tally(run=1, kept=5)
    tally.started = 10.0
    for _ in range(10):
        tally.good(Kind.WRITE, 512, 0.1)
    assert tally.progress(12.0).seconds == 2.0
    assert not tally.progress(12.0).reading_back
    assert tally.report(15.0, recoveries=0).iops == 2.0
    tally.finished = 12.0
    report = tally.report(500.0, recoveries=2)
    assert (report.seconds, report.iops, report.bytes_per_second, report.recoveries) == (2.0, 5.0, 2560.0, 2)


def test_errors_and_a_lost_session_are_no_pass() -> None:
    assert Tally(run=1, kept=5).report(0.0, recoveries=0).passed
    tally = Tally(run=1, kept=5)
    tally.error("BUSY")
    assert not tally.report(0.0, recoveries=0).passed
    tally = Tally(run=1, kept=5)
    tally.lost = "gone"
    assert not tally.report(0.0, recoveries=0).passed
    assert repr(tally) == "<Tally: not begun, 0 commands, 0 mismatches, 0 errors>"
