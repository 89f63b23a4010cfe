from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.errors import FileError
from iscsiproxy.language.document import read_yaml
from iscsiproxy.language.moments import check_new_name, moments, parse_moment, parse_pattern
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.spec import Barrier, Capture, FaultReached, Picks, Released, Wait
from iscsiproxy.language.syntax import MomentNode, NameStep, PatternNode, Word
from tests.language.samples import NO_PARAMETERS, outcome, scalar, shape

__all__: list[str] = []


def moment(text: str) -> MomentNode:
    return parse_moment(scalar(text), NO_PARAMETERS)


def pattern(text: str) -> PatternNode:
    return parse_pattern(scalar(text), NO_PARAMETERS)[1]


def words(node: PatternNode) -> tuple[str | None, ...]:
    return tuple(None if word is None else word.text for word in (node.of, node.sender, node.leg))


def test_a_pattern_with_all_its_parts() -> None:
    node = pattern("SCSI-Response or R2T of n from target at initiator where F and I == 1 nth 2 per task as each m")
    assert [item.name for item in node.items] == ["SCSI-Response", "R2T"]
    assert words(node) == ("n", "target", "initiator")
    assert node.condition is not None
    assert node.picks == Picks(nth=(2, 2), per="task")
    assert node.capture == Capture(name="m", each=True)


def test_a_pattern_may_be_one_word() -> None:
    node = pattern("close")
    assert node.items[0].opcodes == frozenset()
    assert words(node) == (None, None, None)
    assert (node.condition, node.capture, node.picks) == (None, None, Picks())


def test_groups_and_numbers_stand_for_opcodes() -> None:
    assert len(pattern("Any-PDU").items[0].opcodes) == 64
    assert pattern("Opcode-0x1c").items[0].opcodes == {0x1C}
    assert pattern("Status-PDU").items[0].status
    assert not pattern("Target-PDU").items[0].status


PICKS = [
    ("after 3", Picks(after=3)),
    ("nth 2", Picks(nth=(2, 2))),
    ("nth 1..3", Picks(nth=(1, 3))),
    ("every 4", Picks(every=4)),
    ("mask 1011", Picks(mask=(True, False, True, True))),
    ("mask 01", Picks(mask=(False, True))),
    ("chance 1%", Picks(chance=0.01)),
    ("chance 0.5%", Picks(chance=0.005)),
    ("chance 100%", Picks(chance=1.0)),
    ("times 5", Picks(times=5)),
    ("per run", Picks(per="run")),
    ("per session", Picks(per="session")),
    ("per connection", Picks(per="connection")),
    ("per task", Picks(per="task")),
]


@pytest.mark.parametrize(("text", "picks"), PICKS)
def test_each_pick(text: str, picks: Picks) -> None:
    assert pattern(f"Data-Out {text}").picks == picks


def test_picks_mean_the_same_in_any_order() -> None:
    picks = ["after 1", "nth 2..9", "every 2", "times 3", "per task"]
    found = {pattern(f"Data-Out {' '.join(order)}").picks for order in permutations(picks)}
    assert found == {Picks(after=1, nth=(2, 9), every=2, times=3, per="task")}


@given(st.permutations(["after 1", "nth 2", "every 2", "mask 101", "chance 5%", "times 3", "per session"]))
def test_all_picks_in_any_order(order: list[str]) -> None:
    expected = Picks(after=1, nth=(2, 2), every=2, mask=(True, False, True), chance=0.05, times=3, per="session")
    assert pattern(f"Data-Out where DataSN > 1 {' '.join(order)} as n").picks == expected


def test_steps() -> None:
    steps = moment("SCSI-Command as m then 200ms then 3s..6s then barrier then fault then released then m").steps
    assert isinstance(steps[0], PatternNode)
    assert steps[1:6] == (Wait(low=0.2, high=0.2), Wait(low=3.0, high=6.0), Barrier(), FaultReached(), Released())
    assert isinstance(steps[6], NameStep)
    assert steps[6].name.text == "m"


def test_or_belongs_to_the_items_before_where_and_to_the_test_behind_it() -> None:
    node = pattern("SCSI-Command or Data-Out where F or I nth 1")
    assert len(node.items) == 2
    assert shape(node.condition)[0] == "LogicNode"


def test_the_text_is_as_written_with_single_blanks_and_parameters_filled_in() -> None:
    node = parse_moment(scalar("  $pdu   where  F\n nth $n..3  then barrier"), Parameters({"pdu": "R2T", "n": "2"}))
    assert node.text == "R2T where F nth 2..3 then barrier"


@pytest.mark.parametrize(
    "text",
    [
        "SCSI-Command",
        "Data-Out where DataSN == 2 nth 1",
        "SCSI-Response or R2T of n from target at target where F and not (I or W) nth 1..3 per task as m",
        "SCSI-Command where CmdSN == n.CmdSN + 1 as m then barrier",
        'SCSI-Command where CDB.name == "WRITE(10)" and CDB.LBA in (0 .. 64KiB) times 5',
        "SCSI-Response where sense in (B/0C/0C, B/0C/0D) chance 0.5%",
        "3s..6s then connect then released",
        "Target-PDU where ExpCmdSN > n.CmdSN - 1 mask 1011",
    ],
)
def test_the_text_reads_as_the_same_moment(text: str) -> None:
    once = moment(text)
    assert once.text == text
    assert shape(moment(once.text)) == shape(once)


def test_several_moments_are_a_list() -> None:
    assert len(moments(read_yaml("[5s, close]", "f"), NO_PARAMETERS)) == 2
    assert len(moments(read_yaml("close", "f"), NO_PARAMETERS)) == 1
    for wrong in ("[]", "{a: b}", "[[close]]"):
        with pytest.raises(FileError, match="expected a moment"):
            moments(read_yaml(wrong, "f"), NO_PARAMETERS)


def test_a_number_before_a_pattern() -> None:
    assert parse_pattern(scalar("2 SCSI-Response of n"), NO_PARAMETERS, count=True)[0] == 2


#: text, column, part of the message, part of the hint
WRONG = [
    ("", 1, "expected a PDU or an event, not the end", ""),
    ("SCSI-Comand", 1, "", ""),
    ("SCSI-Comand nth 1", 1, "no PDU or event is called `SCSI-Comand`", "`SCSI-Command`"),
    ("SCSI Command nth 1", 1, "no PDU or event is called `SCSI`", "`SCSI-Command`"),
    ("Opcode-0x01 nth 1", 1, "no PDU or event", ""),
    ("Data-Out or", 12, "expected a PDU or an event", ""),
    ("Data-Out or F", 13, "no PDU or event", ""),
    ("nothing", 1, "only in a line of `first:`", ""),
    ("where F", 1, "expected a PDU or an event, not `where`", ""),
    ("Data-Out of", 12, "expected the name of a capture", ""),
    ("Data-Out of nth", 13, "expected the name of a capture", ""),
    ("Data-Out from nowhere", 15, "expected `initiator`, `target`, `victim` or `proxy`", ""),
    ("Data-Out at victim", 13, "expected `initiator` or `target` behind `at`", ""),
    ("Data-Out where", 15, "expected a value, not the end", ""),
    ("Data-Out where nth 1", 16, "a word of the grammar", ""),
    ("Data-Out nth 1 where F", 16, "`where` does not belong here", "order"),
    ("Data-Out where F of n", 18, "`of` does not belong here", "order"),
    ("Data-Out at target from target", 20, "`from` does not belong here", "order"),
    ("Data-Out as n nth 1", 15, "`nth` does not belong here", "order"),
    ("Data-Out nth 1 or R2T", 16, "`or` does not belong here", "another entry"),
    ("Data-Out nth 1 nth 2", 16, "`nth` stands here twice", ""),
    ("Data-Out nth", 13, "expected a number (which match)", ""),
    ("Data-Out nth 0", 14, "at least 1", ""),
    ("Data-Out nth 3..2", 15, "ends before it begins", ""),
    ("Data-Out nth -1", 14, "expected a number", ""),
    ("Data-Out after 0", 16, "at least 1", ""),
    ("Data-Out every 0", 16, "at least 1", ""),
    ("Data-Out times x", 16, "expected a number", ""),
    ("Data-Out mask 12", 15, "expected bits", ""),
    ("Data-Out mask 00", 15, "picks nothing", ""),
    ("Data-Out chance 0.5", 17, "expected a percentage", "0.5%"),
    ("Data-Out chance 0%", 17, "more than 0%", ""),
    ("Data-Out chance 101%", 17, "at most 100%", ""),
    ("Data-Out chance 0x1%", 17, "expected a percentage", ""),
    ("Data-Out per target", 14, "expected `run`, `session`, `connection` or `task`", ""),
    ("Data-Out as", 12, "expected a new name", ""),
    ("Data-Out as each", 17, "expected a new name", ""),
    ("Data-Out as nth", 13, "a word of the grammar", ""),
    ("Data-Out as 5", 13, "cannot be a name", ""),
    ("Data-Out as a.b", 13, "cannot be a name", ""),
    ("Data-Out x", 10, "`x` does not belong here", ""),
    ("Data-Out then", 14, "expected a PDU or an event", ""),
    ("5", 1, "expected a duration", "ms, s or min"),
    ("5sec", 1, "expected a moment", "ms, s or min"),
    ("5s 6s", 4, "`6s` does not belong here", ""),
    ("6s..5s", 3, "ends before it begins", ""),
    ("5s..", 5, "expected a duration", ""),
    ("barrier nth 1", 9, "`nth` does not belong here", ""),
]


@pytest.mark.parametrize(("text", "column", "message", "hint"), WRONG)
def test_what_is_no_moment(text: str, column: int, message: str, hint: str) -> None:
    if not message:
        assert isinstance(moment(text).steps[0], NameStep), "a lone word may be a capture"
        return
    with pytest.raises(FileError) as caught:
        moment(text)
    assert message in caught.value.message
    assert caught.value.column == column
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("Reject then R2T", False, "one pattern stands here, not a moment"),
        ("5s", False, "expected a PDU or an event"),
        ("Reject", True, "expected a number"),
        ("0 Reject", True, "at least 1"),
        ("2 3 Reject", True, "expected a PDU or an event"),
    ],
)
def test_what_is_no_pattern(text: str, count: bool, message: str) -> None:
    with pytest.raises(FileError, match=message):
        parse_pattern(scalar(text), NO_PARAMETERS, count=count)


@pytest.mark.parametrize("name", ["n", "link_down", "a-b", "a#1", "_x", "A"])
def test_good_names(name: str) -> None:
    assert check_new_name(Word(name, scalar("").position)) == name


@pytest.mark.parametrize("name", ["", "1", "a.b", "a b", "é", "then", "initiator", "absent"])
def test_bad_names(name: str) -> None:
    with pytest.raises(FileError):
        check_new_name(Word(name, scalar("").position))


WORDS = st.sampled_from(
    [
        "SCSI-Command",
        "R2T",
        "close",
        "n",
        "of",
        "from",
        "target",
        "victim",
        "at",
        "where",
        "F",
        "==",
        "1",
        "nth",
        "2",
        "..",
        "mask",
        "101",
        "chance",
        "5%",
        "per",
        "task",
        "as",
        "each",
        "then",
        "5s",
        "barrier",
        "fault",
        "or",
        "$p",
    ]
)


@given(st.lists(WORDS, max_size=14).map(" ".join))
def test_any_words_are_a_moment_or_an_error(text: str) -> None:
    node = outcome(lambda: parse_moment(scalar(text), Parameters({"p": "R2T"})))
    if isinstance(node, FileError):
        assert 1 <= node.column <= len(text) + 1
    else:
        assert shape(parse_moment(scalar(node.text), NO_PARAMETERS)) == shape(node)
