from __future__ import annotations

from iscsiproxy.report.table import HANG, detail, fitted, line, summary
from tests.report.results import run, suite

__all__: list[str] = []


def test_a_run_is_one_line() -> None:
    assert line(run("pass"), width=15) == "pass         data_out_lost      1.2s"
    assert line(run("fail")) == "fail         data_out_lost    1.2s  it came"


def test_the_reasons_come_with_their_evidence_and_where_to_read_on() -> None:
    assert list(detail(run("fail"))) == [
        "    expectation: fail: it came",
        "      #7 1.5000s conn 2 target leg: SCSI-Response ITT=0x1 Status=GOOD",
        "    see RFC 7143 7.8",
        "    journal: runs/journal.jsonl",
    ]
    assert list(detail(run("pass"))) == []


def test_everything_is_all_that_was_judged() -> None:
    lines = list(detail(run("pass"), everything=True))
    assert lines[0] == "    steady state: pass: 8 commands went well"
    assert "    rule data_out_lost/hole: matched 3, fired 1" in lines


def test_a_line_is_broken_at_blanks_for_a_screen() -> None:
    text = "      #7 1.5000s conn 2: Data-Out ITT=0x00000004 DataSN=2"
    assert fitted(text, 0) == fitted(text, 80) == text
    assert fitted(text, 40) == "      #7 1.5000s conn 2: Data-Out\n        ITT=0x00000004 DataSN=2"
    whole = line(run("fail"))
    assert fitted(whole, 35, hang=HANG).splitlines() == ["fail         data_out_lost    1.2s", " " * HANG + "it came"]
    assert fitted("a-word-longer-than-the-screen is", 10).splitlines() == ["a-word-longer-than-the-screen", "  is"]


def test_the_sum() -> None:
    assert summary(suite(run("pass"), run("fail"), run("pass"))) == (
        "2 pass, 1 fail in 2.5 s (target embedded, initiator embedded, seed 9)"
    )
    assert summary(suite(run("pass"), interrupted=True)).startswith("1 pass, 1 not run in")
    assert summary(suite()).startswith("nothing was run in")
