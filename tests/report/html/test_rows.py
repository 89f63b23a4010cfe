from __future__ import annotations

from iscsiproxy.journal import IoDone, Lost, Pinged, Record, Staged
from iscsiproxy.report.html.rows import make_ladder
from tests.journal.story import INITIATOR, TARGET, Story, change, command, data_in, response
from tests.report.html.journals import broken, calm, records

__all__: list[str] = []


def drawn(story: Story) -> list[tuple[str, tuple[str, ...]]]:
    ladder = make_ladder(records(story.events))
    return [(row.drawing, tuple(mark.word for mark in row.marks)) for row in ladder.rows]


def test_a_pdu_that_came_and_went_is_one_row() -> None:
    story = Story()
    story.connected()
    calm(story, 1)
    ladder = make_ladder(records(story.events))
    assert [(row.drawing, row.label, row.calm) for row in ladder.rows] == [
        ("joined", "connected", False),
        ("whole", "SCSI-Command", True),
        ("whole", "Data-In", True),
    ]
    assert ladder.places == {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
    assert (ladder.pdus, ladder.conns) == (2, (1,))


def test_what_a_fault_did_is_drawn_and_said() -> None:
    story = Story()
    broken(story)
    late = story.came(command(3))
    story.fired("s/wait", "delay", late, "for 1 s")
    story.went(command(3), late)
    twice = story.came(command(4))
    story.went(command(4), twice)
    story.went(command(4), twice)
    assert drawn(story) == [
        ("never", ("dropped",)),
        ("changed", ("changed",)),
        ("whole", ()),
        ("late", ("delayed",)),
        ("repeated", ()),
    ]


def test_what_was_changed_is_said_once() -> None:
    story = Story()
    _, other = broken(story)
    ladder = make_ladder(records(story.events))
    row = ladder.rows[ladder.places[other]]
    assert [mark.changes for mark in row.marks] == [(change("CmdSN", 257, 300),)]
    bare = Story()
    n = bare.came(command())
    bare.went(command(CmdSN=9), n, changes=(change("CmdSN", 1, 9),), rules=("s/r",))
    [row] = make_ladder(records(bare.events)).rows
    assert [(mark.word, mark.rule) for mark in row.marks] == [("changed", "s/r")]


def test_what_the_proxy_rewrites_for_itself_is_no_fault() -> None:
    story = Story()
    n = story.came(command())
    story.went(command(CmdSN=9), n, changes=(change("text.TargetAddress", "a", "b"),))
    [row] = make_ladder(records(story.events)).rows
    assert (row.drawing, row.hit, [mark.quiet for mark in row.marks]) == ("changed", False, [True])


def test_what_the_proxy_made_is_a_row_of_its_own() -> None:
    story = Story()
    story.went(command(), None, rules=("s/inject",))
    story.went(response(), None)
    ladder = make_ladder(records(story.events))
    assert [(row.drawing, row.sender, row.hit) for row in ladder.rows] == [
        ("made", INITIATOR, True),
        ("made", TARGET, False),
    ]
    assert ladder.rows[0].marks[0].rule == "s/inject"


def test_what_was_not_passed_on_says_so_if_no_fault_did_it() -> None:
    story = Story()
    story.came(command())
    assert drawn(story) == [("never", ("not passed on",))]
    holes: list[Record] = [*records(story.events), Record(Lost(count=7))]
    ladder = make_ladder(holes)
    assert ladder.lost == 7
    assert ladder.rows[0].marks[0].word == "not known to have been passed on"


def test_barriers_and_notes_and_order_are_marked_on_their_pdus() -> None:
    story = Story()
    n = story.passed(command())
    story.violated(INITIATOR, INITIATOR, n, "CmdSN goes back", "4.2.2.1")
    story.noted("s/n", n, "here")
    events = [*story.events, Pinged(n=9, at=1.0, conn=1, barrier=1, end=TARGET, what="sent", of=n)]
    [row] = make_ladder(records(events)).rows
    assert [mark.word for mark in row.marks] == ["out of order", "noted", "barrier"]
    assert (row.calm, row.hit) == (False, True)


def test_a_wrong_digest_is_told() -> None:
    story = Story()
    n = story.came(command(), header_digest_ok=False, data_digest_ok=True)
    story.went(command(), n)
    assert drawn(story) == [("whole", ("header digest wrong",))]


def test_good_io_has_a_row_only_if_it_is_cited() -> None:
    events = [IoDone(n=n, at=0.0, conn=1, what="good", text="read") for n in (1, 2)]
    assert make_ladder(records(events)).rows == ()
    assert [row.n for row in make_ladder(records(events), cited={2}).rows] == [2]


def test_the_stages_last_until_the_next_one() -> None:
    story = Story()
    calm(story, 2)
    stages = [
        Staged(n=20, at=0.0, conn=0, stage="steady"),
        Staged(n=21, at=2.0, conn=0, stage="fault"),
        Staged(n=22, at=5.0, conn=0, stage="cleared"),
    ]
    ladder = make_ladder(records([*stages, *story.events]))
    assert [(one.name, one.start, one.end) for one in ladder.stages] == [
        ("steady state", 0.0, 2.0),
        ("fault", 2.0, 5.0),
        ("faults cleared", 5.0, 5.0),
    ]


def test_what_there_is_no_room_for_is_counted() -> None:
    story = Story()
    calm(story, 10)
    ladder = make_ladder(records(story.events), limit=5)
    assert (len(ladder.rows), ladder.left_out) == (3, 35)


def test_nothing_is_nothing() -> None:
    ladder = make_ladder([])
    assert (ladder.rows, ladder.stages, ladder.pdus) == ((), (), 0)


def test_a_delivery_of_a_pdu_that_is_not_there_is_a_row() -> None:
    story = Story()
    story.went(data_in(), 77)
    assert [row.drawing for row in make_ladder(records(story.events)).rows] == ["made"]
