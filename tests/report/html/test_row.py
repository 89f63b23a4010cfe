from __future__ import annotations

from iscsiproxy.engine import SPECS
from iscsiproxy.report.html.row import WORDS, Mark, Row
from tests.journal.story import Story, command
from tests.report.html.journals import records

__all__: list[str] = []


def test_the_words_are_of_acts_that_there_are() -> None:
    assert set(WORDS) <= set(SPECS)


def test_what_the_proxy_does_for_itself_is_no_fault() -> None:
    row = Row(n=1, at=0.0, conn=1, drawing="made", label="NOP-Out")
    assert not row.hit
    quiet, loud = Mark(word="barrier", quiet=True), Mark(word="dropped")
    assert not Row(n=1, at=0.0, conn=1, drawing="made", label="NOP-Out", marks=(quiet,)).hit
    assert Row(n=1, at=0.0, conn=1, drawing="made", label="NOP-Out", marks=(quiet, loud)).hit


def test_what_came_is_shown_rather_than_what_went() -> None:
    story = Story()
    story.passed(command())
    came, went = records(story.events)
    row = Row(n=1, at=0.0, conn=1, drawing="whole", label="SCSI-Command", came=came, went=(went,))
    assert row.shown is came
    assert Row(n=1, at=0.0, conn=1, drawing="made", label="SCSI-Command", went=(went,)).shown is went
    assert Row(n=1, at=0.0, conn=1, drawing="event", label="closed").shown is None
