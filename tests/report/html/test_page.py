from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iscsiproxy.report.html.page import Page, RunView, make_page
from iscsiproxy.report.model import RunResult
from tests.journal.story import TARGET, Story, command
from tests.report.html.journals import broken, calm, in_file, result
from tests.report.results import run, suite

__all__: list[str] = []


def page_of(*runs: RunResult, folder: Path = Path()) -> Page:
    return make_page(suite(*runs), folder)


def view_of(one: RunResult, folder: Path) -> RunView:
    [view] = page_of(one, folder=folder).views()
    return view


def faulty(folder: Path) -> tuple[Path, int]:
    """Write the journal of a run with two faults; gives the number of the PDU that was dropped."""
    story = Story()
    story.connected()
    calm(story, 20)
    lost, _ = broken(story)
    calm(story, 20, first=1000)
    story.closed(TARGET)
    return in_file(story, folder / "lose" / "journal.jsonl"), lost


def test_the_headline_says_what_it_came_to() -> None:
    assert page_of(run("pass")).headline == "The run passed"
    assert page_of(run("warn")).headline == "The run passed, with warnings"
    assert page_of(run("fail")).headline == "The run failed"
    assert page_of(run("pass"), run("pass", "b")).headline == "All 2 passed"
    assert page_of(run("pass"), run("warn", "b")).headline == "All 2 passed, 1 with warnings"
    assert page_of(run("pass"), run("skipped", "b")).headline == "1 passed, 1 skipped"
    assert page_of(run("fail"), run("pass", "b")).headline == "1 of 2 runs failed"
    assert page_of(run("inconclusive")).headline == "The run is inconclusive"
    assert page_of(run("fail"), run("inconclusive", "b")).headline == "1 failed and 1 inconclusive of 2 runs"
    assert page_of(run("skipped")).headline == "Nothing was judged"
    assert page_of().headline == "Nothing was judged"


def test_the_worst_comes_first() -> None:
    page = page_of(run("pass", "a"), run("fail", "b"), run("warn", "c"), run("fail", "d"))
    assert [one.name for one in page.runs] == ["b", "d", "c", "a"]
    assert (page.worst, page.exit) == ("fail", 1)


def test_what_decided_is_told_of_a_pass_too() -> None:
    page = page_of(
        run("pass", text="exactly: 1: it came"), run("fail", text="never: it came"), run("skipped", text="no")
    )
    assert [page.decided(one) for one in page.runs] == ["never: it came", "exactly: 1: it came", "no"]
    assert page.decided(RunResult(name="a", scenario="a", verdict="pass")) == ""


def test_a_day_that_is_none_is_told_as_it_is() -> None:
    assert page_of(run("pass")).started == "2026-01-01 00:00:00 UTC"
    assert make_page(replace(suite(run("pass")), started="once"), Path()).started == "once"


def test_evidence_leads_to_its_row(tmp_path: Path) -> None:
    journal, lost = faulty(tmp_path)
    view = view_of(result(cited=(lost, lost + 1, 5, 9999), journal=journal), tmp_path)
    links = [one.link for one in view.findings[1].evidence]
    assert links == [f"r0-{lost}", f"r0-{lost}", "r0-4", ""]
    shown = {row.id: row for span in view.spans for row in span.rows}
    assert set(links) - {""} <= set(shown)
    assert [one.finding.about for one in shown[f"r0-{lost}"].proves] == ["expectation"]
    assert shown[f"r0-{lost}"].worst == "fail"
    assert shown[f"r0-{lost}"].way == "initiator to proxy, not passed on"


def test_faults_are_found_from_above_and_on_the_line_of_time(tmp_path: Path) -> None:
    journal, lost = faulty(tmp_path)
    view = view_of(result(cited=(lost,), journal=journal), tmp_path)
    assert view.jumps == [(f"r0-{lost}", "dropped SCSI-Command"), (f"r0-{lost + 2}", "changed SCSI-Command")]
    assert [one.kind for one in view.ticks] == ["fault", "fault", "fail"]
    assert all(0 <= one.left <= 100 for one in view.ticks)
    assert view.links == [("journal", "lose/journal.jsonl", "lose/journal.jsonl")]
    assert view.judged == (1, 2)


def test_without_a_journal_the_rest_is_there(tmp_path: Path) -> None:
    assert view_of(result(), tmp_path).missing == "no journal of it was kept"
    gone = view_of(result(journal=tmp_path / "gone", cited=(3,)), tmp_path)
    assert gone.missing == "the journal cannot be read: No such file or directory"
    assert [one.link for one in gone.findings[1].evidence] == [""]
    broken_ = tmp_path / "broken"
    broken_.write_text("what?\n")
    assert "line 1: expected" in view_of(result(journal=broken_), tmp_path).missing


def test_a_journal_that_was_cut_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    journal, _ = faulty(tmp_path)
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) // 2])
    view = view_of(result(journal=journal), tmp_path)
    assert (view.missing, view.ladder.rows != ()) == ("", True)


def test_what_did_not_pass_has_more_room(tmp_path: Path) -> None:
    story = Story()
    for itt in range(1, 1500):
        story.passed(command(itt))
    journal = in_file(story, tmp_path / "j")
    runs = [result("pass", name=f"p{number}", journal=journal) for number in range(8)]
    used = [view.used for view in page_of(*runs, result("fail", journal=journal), folder=tmp_path).views()]
    assert (used[0].full, sum(one.full for one in used)) == (500, 1000)
    assert {one.full for one in used[1:]} == {62, 63}
    assert sum(one.lines for one in used) <= 4000


def test_the_words_about_a_link_are_those_of_the_table(tmp_path: Path) -> None:
    journal, lost = faulty(tmp_path)
    [one] = view_of(result(cited=(lost,), journal=journal), tmp_path).findings[1].evidence
    assert (one.where, one.text) == (f"#{lost} 0.5000s conn 1 target leg", f"event {lost}")
