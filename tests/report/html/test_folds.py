from __future__ import annotations

from itertools import pairwise

from iscsiproxy.report.html.folds import Allowance, Span, fold
from iscsiproxy.report.html.rows import Ladder, make_ladder
from tests.journal.story import Story, command
from tests.report.html.journals import broken, calm, records

__all__: list[str] = []

ROOM = Allowance(full=10_000, lines=10_000)


def ladder_of(story: Story) -> Ladder:
    return make_ladder(records(story.events))


def long_story(before: int = 50, behind: int = 50) -> tuple[Ladder, int]:
    """Tell a calm run with a fault in its middle; gives the place of the PDU that was dropped."""
    story = Story()
    calm(story, before)
    lost, _ = broken(story)
    calm(story, behind, first=1000)
    ladder = ladder_of(story)
    return ladder, ladder.places[lost]


def shape(spans: tuple[Span, ...]) -> list[tuple[bool, int]]:
    return [(span.fold is not None, len(span.rows)) for span in spans]


def test_a_calm_run_is_one_fold() -> None:
    story = Story()
    calm(story, 30)
    [span] = fold(ladder_of(story), (), ROOM)
    assert span.fold is not None
    assert span.fold.title == "60 PDUs, all passed on as they came"
    assert sorted(span.fold.kinds) == [("Data-In", 30), ("SCSI-Command", 30)]


def test_what_is_near_a_fault_is_open() -> None:
    ladder, place = long_story()
    spans = fold(ladder, (), ROOM)
    assert shape(spans) == [(True, 97), (False, 3 + 2 + 3), (True, 98)]
    assert [one.place for one in spans[1].rows] == list(range(place - 3, place + 5))


def test_what_proves_something_is_open() -> None:
    story = Story()
    calm(story, 40)
    spans = fold(ladder_of(story), {20}, ROOM)
    assert shape(spans) == [(True, 17), (False, 7), (True, 56)]


def test_the_neighbours_are_those_of_the_connection() -> None:
    story = Story()
    lost = story.came(command(7))
    story.fired("s/lose", "drop", lost, "not sent")
    story.conn = 2
    calm(story, 20)
    story.conn = 1
    calm(story, 20, first=500)
    opened = [one.row for span in fold(ladder_of(story), (), ROOM) if span.fold is None for one in span.rows]
    assert {row.conn for row in opened} == {1}
    assert len(opened) == 4


def test_a_few_calm_rows_are_not_folded() -> None:
    story = Story()
    calm(story, 1)
    assert shape(fold(ladder_of(story), (), ROOM)) == [(False, 2)]


def test_thousands_that_are_alike_are_folded_but_for_the_first_and_the_last() -> None:
    story = Story()
    for itt in range(1, 2001):
        lost = story.came(command(itt))
        story.fired("s/lose", "drop", lost, "not sent")
    spans = fold(ladder_of(story), (), ROOM)
    assert shape(spans) == [(False, 9), (True, 1986), (False, 5)]
    assert spans[1].fold is not None
    assert spans[1].fold.title == "1,986 PDUs, more of the same: 1,986 dropped"


def test_every_row_is_in_one_span_and_in_its_order() -> None:
    ladder, _ = long_story()
    places = [one.place for span in fold(ladder, {0, 3, 90}, ROOM) for one in span.rows]
    assert places == list(range(len(ladder.rows)))


def test_room_goes_first_to_what_is_proven_then_to_what_is_open() -> None:
    ladder, place = long_story()
    spans = fold(ladder, {0}, Allowance(full=4, lines=10))
    placed = {one.place: one.depth for span in spans for one in span.rows}
    assert placed[0] == "full"
    assert [at for at, depth in placed.items() if depth == "full"] == [0, 1, 2, 3]
    assert len(placed) == 14
    assert {place - 1, place, place + 1} <= set(placed)
    left = [span.fold for span in spans if span.fold is not None]
    assert sum(one.left_out for one in left) == len(ladder.rows) - 14


def test_what_is_left_out_is_found_in_the_journal() -> None:
    story = Story()
    calm(story, 30)
    found = records(story.events)
    for number, record in enumerate(found, 2):
        record.line = number
    [span] = fold(make_ladder(found), (), Allowance(full=0, lines=10))
    assert span.fold is not None
    assert (span.fold.left_out, span.fold.first_line, span.fold.last_line) == (50, 22, 120)


def test_without_room_only_what_is_proven_is_left() -> None:
    ladder, place = long_story()
    spans = fold(ladder, {place}, Allowance(full=0, lines=0))
    assert [(one.place, one.depth) for span in spans for one in span.rows] == [(place, "line")]


def test_ten_thousand_pdus_come_to_a_few_spans() -> None:
    ladder, place = long_story(2500, 2500)
    assert ladder.pdus == 10_003
    spans = fold(ladder, {place}, Allowance(full=1000, lines=4000))
    assert len(spans) == 3
    depths = [one.depth for span in spans for one in span.rows]
    assert (depths.count("full"), depths.count("line")) == (1000, 4000)
    assert sum(span.fold.left_out for span in spans if span.fold) == 5003
    assert all(one.place < two.place for span in spans for one, two in pairwise(span.rows))
