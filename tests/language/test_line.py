from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language import load
from iscsiproxy.language.document import Listing, Scalar
from iscsiproxy.language.line import load_line, read_acts, read_line, read_pattern, receivers, tree_of
from iscsiproxy.language.spec import Call, Literal_, Moment, Pattern, Released, Rule, Scenario, ValueKind, Wait
from iscsiproxy.language.tokens import MAX_TEXT
from iscsiproxy.wire.opcodes import End, Opcode
from tests.language.samples import outcome, shape

__all__: list[str] = []

#: a line, and the rule of a file that it is
RULES: list[tuple[str, str]] = [
    ("drop Data-Out where DataSN == 2 nth 1", "{when: Data-Out where DataSN == 2 nth 1, do: drop}"),
    ("delay 200ms Data-In every 3", "{when: Data-In every 3, do: {delay: 200ms}}"),
    ("set C=1 Login-Request nth 1", "{when: Login-Request nth 1, do: {set: {C: 1}}}"),
    (
        "corrupt header-digest SCSI-Command where W chance 1%",
        "{when: SCSI-Command where W chance 1%, do: {corrupt: header-digest}}",
    ),
    (
        "duplicate ITT=fresh SCSI-Command where not I nth 5",
        "{when: SCSI-Command where not I nth 5, do: {duplicate: {ITT: fresh}}}",
    ),
    (
        'answer Status=BUSY SCSI-Command where CDB.name == "WRITE(10)" times 5',
        "{when: 'SCSI-Command where CDB.name == \"WRITE(10)\" times 5', do: {answer: {Status: BUSY}}}",
    ),
    (
        "close rst at=header+20 SCSI-Command nth 10",
        "{when: SCSI-Command nth 10, do: {close: {how: rst, at: header+20}}}",
    ),
    ("pass; delay 20s; close fin TMF-Request", "{when: TMF-Request, do: [pass, {delay: 20s}, {close: fin}]}"),
    (
        'probe Text-Request text="SendTargets=" when full-feature',
        "{when: full-feature, do: {probe: {pdu: Text-Request, text: SendTargets=}}}",
    ),
    ("split 512 Data-Out", "{when: Data-Out, do: {split: 512}}"),
    (
        'set CDB.LBA=2048 SCSI-Command where CDB.name == "WRITE(10)" nth 1',
        "{when: 'SCSI-Command where CDB.name == \"WRITE(10)\" nth 1', do: {set: {CDB.LBA: 2048}}}",
    ),
    ('note "hello world" when full-feature', "{when: full-feature, do: {note: hello world}}"),
    ("note (hello world) full-feature", "{when: full-feature, do: {note: hello world}}"),
    ("stall released when R2T", "{when: R2T, do: {stall: released}}"),
    ("hold SCSI-Command nth 1", "{when: SCSI-Command nth 1, do: {delay: {until: released, at_most: no}}}"),
    (
        "set F=1; hold overtake=yes Data-Out",
        "{when: Data-Out, do: [{set: {F: 1}}, {delay: {until: released, at_most: no, overtake: yes}}]}",
    ),
    (
        "delay (R2T where R2TSN == n.R2TSN + 1 as m then barrier) overtake=yes R2T nth 3 as n",
        "{when: R2T nth 3 as n, do: {delay: {until: R2T where R2TSN == n.R2TSN + 1 as m then barrier, overtake: yes}}}",
    ),
    ("delay [5s, R2T as r] Data-In", "{when: Data-In, do: {delay: [5s, R2T as r]}}"),
    ("delay [(5s), (R2T as r)] Data-In", "{when: Data-In, do: {delay: [5s, R2T as r]}}"),
    ("resize length - 512 Data-In", "{when: Data-In, do: {resize: length - 512}}"),
    ("resize (length - 512) Data-In", "{when: Data-In, do: {resize: length - 512}}"),
    ("set EDTL=EDTL + 1 SCSI-Command", "{when: SCSI-Command, do: {set: {EDTL: EDTL + 1}}}"),
    ("drop when 5s then R2T", "{when: 5s then R2T, do: drop}"),
    ("drop when [R2T nth 2, 5s then R2T]", "{when: [R2T nth 2, 5s then R2T], do: drop}"),
    ('set data="ab cd" Data-Out', "{when: Data-Out, do: {set: {data: 'ab cd'}}}"),
    ("set data=0x0102 Data-Out", "{when: Data-Out, do: {set: {data: 0x0102}}}"),
    (
        "set text.InitiatorName=(session.InitiatorName) Login-Request",
        "{when: Login-Request, do: {set: {text.InitiatorName: (session.InitiatorName)}}}",
    ),
    (
        "text add=[A=1, 'B=(min(1, 2))'] remove=[C, D] Login-Request",
        "{when: Login-Request, do: {text: {add: [A=1, 'B=(min(1, 2))'], remove: [C, D]}}}",
    ),
    (
        "split_text C add={1=[X-a=1]} at=[X-a+6] Login-Request",
        "{when: Login-Request, do: {split_text: {by: C, add: {1: [X-a=1]}, at: [X-a+6]}}}",
    ),
    (
        "inject SCSI-Command CDB=(WRITE lba=0 blocks=8) as=n when full-feature",
        "{when: full-feature, do: {inject: {pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8, as: n}}}",
    ),
    ("throttle 64KiB slice=1..5 full-feature", "{when: full-feature, do: {throttle: {rate: 64KiB, slice: 1..5}}}"),
    ("  drop;note x   R2T  ", "{when: R2T, do: [drop, {note: x}]}"),
]


def line(text: str, **params: str) -> Scenario:
    return load_line(text, name="x", acts=SPECS, params=params)


def errors(text: str) -> list[FileError]:
    found = outcome(lambda: line(text))
    return [found, *found.others] if isinstance(found, FileError) else []


def rule_of(written: str) -> Rule:
    (rule,) = load(f"scenario: x\nvictim: both\nrules:\n  - {written}\n", file="x.yaml", acts=SPECS).rules
    return rule


@pytest.mark.parametrize(("text", "written"), RULES)
def test_a_line_is_a_rule_of_a_file(text: str, written: str) -> None:
    (rule,) = line(text).rules
    assert shape(rule) == shape(rule_of(written))


@pytest.mark.parametrize(
    ("text", "pdu"),
    [
        ("probe NOP-In TTT=0x12345678", "NOP-In"),
        ("inject NOP-In TTT=0x12345678", "NOP-In"),
        ("inject Async AsyncEvent=2 Parameter1=1", "Async"),
    ],
)
def test_a_line_without_a_moment_is_done_now(text: str, pdu: str) -> None:
    assert read_line(text, acts=SPECS).now
    (rule,) = line(text).rules
    assert rule.when[0].steps == (Wait(low=0, high=0),)
    assert rule.do[0].params["pdu"] == pdu
    assert not read_line(f"{text} when full-feature", acts=SPECS).now


def test_the_victim_is_the_end_that_receives_what_the_rule_acts_on() -> None:
    victims = {text: line(text).victim for text in ("drop R2T", "drop Data-Out or SCSI-Command", "drop Any-PDU")}
    assert victims == {"drop R2T": "initiator", "drop Data-Out or SCSI-Command": "target", "drop Any-PDU": "both"}
    assert line("close when 5s").victim == "both"
    assert line("close full-feature").victim == "both"
    assert receivers(read_line("drop R2T", acts=SPECS)) == {End.INITIATOR}
    assert receivers(read_line("drop R2T where", acts=SPECS)) == set()


def test_a_line_is_a_scenario_of_one_rule_with_no_expectations() -> None:
    scenario = load_line("drop R2T", name="by_hand", acts=SPECS)
    assert (scenario.name, scenario.expect, scenario.machines, len(scenario.rules)) == ("by_hand", (), (), 1)
    assert scenario.rules[0].name == "#1"
    assert shape(load_line(read_line("drop R2T", acts=SPECS), name="by_hand", acts=SPECS)) == shape(scenario)


def test_held_pdus_wait_for_ever() -> None:
    (act,) = line("hold SCSI-Command").rules[0].do
    assert act.name == "delay"
    assert act.params["at_most"] == "no"
    until = act.params["until"]
    assert isinstance(until, tuple)
    assert isinstance(until[0], Moment)
    assert until[0].steps == (Released(),)


def test_hold_is_no_act_of_a_file() -> None:
    with pytest.raises(FileError, match="there is no act `hold`"):
        rule_of("{when: SCSI-Command, do: hold}")


def test_parameters_stand_for_parts_of_a_line() -> None:
    (rule,) = line("delay $time $pdu nth $n", time="5s", pdu="Data-In", n="2").rules
    assert (rule.do[0].text, rule.when[0].text) == ("delay 5s", "Data-In nth 2")
    assert line("drop $pdu", pdu="Data-In").victim == "initiator"
    with pytest.raises(FileError, match="there is no parameter `\\$pdu`"):
        line("drop $pdu nth 1")


#: a line, the column of its first error, the message, and a part of the hint
MISTAKES: list[tuple[str, int, str, str]] = [
    ("", 1, "the line is empty", "it begins with an act"),
    ("   ", 4, "the line is empty", "it begins with an act"),
    ("dorp R2T", 1, "there is no act `dorp`", "did you mean `drop`?"),
    ("hodl R2T", 1, "there is no act `hodl`", "did you mean `hold`?"),
    ("R2T", 1, "an act stands here, before any moment", "such as `drop"),
    ("when R2T", 1, "an act stands here, before any moment", "such as `drop"),
    ("; drop R2T", 1, "an act stands here, before any moment", "such as `drop"),
    ("drop;", 6, "an act is missing here", "between two acts"),
    ("drop; ; note x", 7, "an act is missing here", "between two acts"),
    ("drop R2T; note x", 9, "no act follows the moment", "behind all acts"),
    ("drop Data-out where F", 6, "no PDU or event is called `Data-out`", "did you mean `Data-Out`?"),
    ("drop nth 1", 6, "`nth` does not belong here, behind `drop`", "begins with a PDU or an event"),
    ("hold write", 6, "`write` does not belong here, behind `hold`", 'SCSI-Command where CDB.name == "WRITE(10)"'),
    ("drop REPORT", 6, "`REPORT` does not belong here, behind `drop`", 'CDB.name == "REPORT '),
    ("drop READ(16)", 6, "`READ(16)` does not belong here, behind `drop`", 'CDB.name == "READ(16)"'),
    ("inject nop-in TTT=1", 8, "`nop-in` is not the name of a PDU", "did you mean `NOP-In`?"),
    ("drop 5s", 6, "`5s` does not belong here, behind `drop`", "`when 5s`"),
    ("drop note x R2T", 6, "`note` does not belong here, behind `drop`", "`; note`"),
    ("drop when", 10, "a moment is missing behind `when`", "such as `when"),
    ("drop when [R2T] nth 1", 17, "`nth` does not belong here, behind the moments", ""),
    ("drop R2T where R2TSn == 1", 16, "`R2TSn` has no meaning on R2T", "did you mean `R2TSN`?"),
    ("set F = 1 R2T", 5, "`F` does not belong here, behind `set`", "no blank stands around `=`"),
    ("set F= R2T", 5, "`F` has no value", "no blank stands behind `=`"),
    ("set TTT=1 TTT=2 R2T", 11, "`TTT` stands here twice", ""),
    ("set TTT 1 R2T", 5, "`TTT` does not belong here, behind `set`", "`TTT=…`"),
    ("close rst how=fin R2T", 11, "`how` stands here twice", ""),
    ("close at=end rst R2T", 14, "`rst` does not belong here, behind `close`", "`close rst …`"),
    ("close SCSI-Cmd nth 1", 7, "`how` is `rst`, `fin` or `half`, not `SCSI-Cmd`", "did you mean `SCSI-Command`?"),
    ("close rst SCSI-Comand", 11, "`SCSI-Comand` does not belong here, behind `close`", "did you mean `SCSI-Command`?"),
    ("note hello world Reject", 12, "`world` does not belong here, behind `note`", "in quotes"),
    ("delay 20s then barrier R2T", 11, "`then` does not belong here, behind `delay`", "`delay (…)`"),
    ("delay R2T", 1, "`delay` needs `until`", "when it goes on"),
    ("hold", 1, "`hold` does not say what is held", "`hold SCSI-Command nth 1`"),
    ("hold at_most=5s R2T", 6, "`hold` takes no `at_most`", "`delay released at_most=…`"),
    ("inject NOP-Inn", 8, "`NOP-Inn` is not the name of a PDU", "did you mean `NOP-In`?"),
    ("drop", 1, "`drop` needs a PDU in hand, and there is none", "the moment has to end in a PDU"),
    ('set text.X="a b Login-Request', 12, "this quotation is not closed", ""),
    ("set CDB.LAB=4 SCSI-Command", 5, "there is no `CDB.LAB`", "did you mean `CDB.LBA`?"),
    ("set CDB.name=x SCSI-Command", 5, "a CDB has a name by what it is; it is given none", "as a whole"),
    ("set CDB.LBA=4 Data-Out", 5, "Data-Out has no CDB", ""),
    ("drop\nR2T", 5, "the character U+000A may not stand in a line", ""),
    (f"drop {'x' * MAX_TEXT}", 1, f"the line has {MAX_TEXT + 5} characters; at most {MAX_TEXT} are read", ""),
]


@pytest.mark.parametrize(("text", "column", "message", "hint"), MISTAKES)
def test_what_is_wrong_with_a_line_has_its_column_and_a_hint(text: str, column: int, message: str, hint: str) -> None:
    first = errors(text)[0]
    assert (first.file, first.line, first.column, first.message) == ("line", 1, column, message)
    assert hint in (first.hint or "")


def test_all_that_is_wrong_is_told() -> None:
    found = errors("set Foo=1 Bar=2; note x y=3 R2T where Z")
    assert [(error.column, error.message) for error in found] == [
        (5, "`set` has no parameter or field `Foo`"),
        (11, "`set` has no parameter or field `Bar`"),
        (25, "`note` has no parameter `y`"),
        (39, "`Z` has no meaning on R2T"),
    ]


_PIECES = [
    *("drop", "set", "close", "delay", "hold", "inject", "answer", "note", "text", "when", "then", "where", "nth"),
    *("SCSI-Command", "Data-Out", "R2T", "full-feature", "rst", "5s", "released", "F=1", "TTT=fresh", "at=end"),
    *("(", ")", "[", "]", ",", ";", '"', "=", "==", "$x", "n", "1", "+", "-", "{", "}", "as", "or"),
]


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map(" ".join))
@example("drop when [")
@example("set F=1 (")
@example("hold hold R2T")
def test_any_line_is_a_rule_or_an_error_with_its_place(text: str) -> None:
    for error in errors(text):
        assert (error.file, error.line) == ("line", 1)
        assert 1 <= error.column <= len(text) + 1


@given(st.text(max_size=40))
def test_any_text_is_a_line_or_an_error_with_its_place(text: str) -> None:
    for error in errors(text):
        assert (error.file, error.line) == ("line", 1)
        assert 1 <= error.column <= len(text) + 1


# --- acts on a PDU in hand -------------------------------------------------------------------------------------------

COMMAND = frozenset({Opcode.SCSI_COMMAND})


def test_acts_alone_change_a_pdu_that_is_in_hand() -> None:
    lba, length = read_acts("set CDB.LBA=2048; resize length + 512", opcodes=COMMAND, acts=SPECS)
    assert (lba.name, lba.text, length.name) == ("set", "set CDB.LBA=2048", "resize")
    value = lba.fields["CDB.LBA"]
    assert isinstance(value, Literal_)
    assert (value.value, value.kind) == (2048, ValueKind.NUMBER)
    (tag,) = read_acts("set ITT=fresh", opcodes=COMMAND, acts=SPECS)
    assert isinstance(tag.fields["ITT"], Call)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("drop", 1, "`drop` says what becomes of a PDU, and this one is in hand"),
        ("pass", 1, "`pass` says what becomes of a PDU, and this one is in hand"),
        ("set F=1; delay 5s", 10, "`delay` says what becomes of a PDU, and this one is in hand"),
        ("hold", 1, "`delay` says what becomes of a PDU, and this one is in hand"),
        ("answer Status=BUSY", 1, "`answer` says what becomes of a PDU, and this one is in hand"),
        ("note x", 1, "`note` does not change the PDU in hand"),
        ("inject NOP-In", 1, "`inject` does not change the PDU in hand"),
        ("set F=1 SCSI-Command", 9, "a moment has no place here: the PDU is in hand"),
        ("set F=1 when 5s", 9, "a moment has no place here: the PDU is in hand"),
        ("set DataSN=1", 5, "SCSI-Command has no field `DataSN`"),
        ("set CmdSN=n.CmdSN", 11, "nothing in the file binds the name `n`"),
        ("text add=A=1", 1, None),
    ],
)
def test_what_an_edit_may_not_do(text: str, column: int, message: str | None) -> None:
    with pytest.raises(FileError) as caught:
        read_acts(text, opcodes=COMMAND, acts=SPECS)
    assert caught.value.column == column
    assert message is None or caught.value.message == message


def test_all_that_is_wrong_with_an_edit_is_told() -> None:
    found = outcome(lambda: read_acts("set Foo=1; drop; set R2TSN=1", opcodes=COMMAND, acts=SPECS))
    assert isinstance(found, FileError)
    assert [error.column for error in (found, *found.others)] == [5, 12, 22]
    assert "`set`, `text`, `corrupt`, `resize`" in (found.others[0].hint or "")


# --- a pattern alone -------------------------------------------------------------------------------------------------


def test_a_pattern_alone() -> None:
    pattern = read_pattern("SCSI-Command or Data-Out from initiator where length > 512 nth 2")
    assert isinstance(pattern, Pattern)
    assert [item.name for item in pattern.items] == ["SCSI-Command", "Data-Out"]
    assert (pattern.sender, pattern.picks.nth, pattern.where is not None) == ("initiator", (2, 2), True)


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("", 1, "expected a pattern", "such as"),
        ("W and length > 5", 1, "a pattern begins with a PDU or an event", "`Any-PDU where W and length > 5`"),
        ("not F", 1, "a pattern begins with a PDU or an event", "`Any-PDU where not F`"),
        ("task.age > 5s", 1, "a pattern begins with a PDU or an event", "`Any-PDU where task.age > 5s`"),
        ("Data-out", 1, "no PDU or event is called `Data-out`", "did you mean `Data-Out`?"),
        ("R2T as r", 8, "`r` would be bound for nobody", "leave `as` out"),
        ("R2T then Data-Out", 5, "one pattern stands here, not a moment", ""),
        ("R2T of n", 8, "nothing in the file binds the name `n`", ""),
        ("R2T where Status == 1", 11, "R2T has no field `Status`", ""),
        ("drop R2T", 1, "no PDU or event is called `drop`", ""),
    ],
)
def test_what_is_wrong_with_a_pattern(text: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        read_pattern(text)
    assert (caught.value.column, caught.value.message) == (column, message)
    assert hint in (caught.value.hint or "")


# --- trees -----------------------------------------------------------------------------------------------------------


def test_checked_acts_give_their_tree_again() -> None:
    (rule,) = line("set data='a b' LUN=1; close rst at=header+20 SCSI-Command").rules
    node = tree_of(rule.do, acts=SPECS)
    assert isinstance(node, Listing)
    (again,) = load_line(f"{'; '.join(act.text for act in rule.do)} SCSI-Command", name="x", acts=SPECS).rules
    assert shape(again.do) == shape(rule.do)
    assert len(node.items) == 2


def test_what_is_not_printable_may_stand_in_a_tree_again() -> None:
    text = 'scenario: x\nrules:\n  - {when: R2T, do: {note: "a\\tb\\0c"}}\n'
    (rule,) = load(text, file="x.yaml", acts=SPECS).rules
    (act,) = tree_of(rule.do, acts=SPECS).items
    assert not isinstance(act, (Listing, Scalar))
    value = act.entries[0].value
    assert isinstance(value, Scalar)
    assert value.text == "a\tb\0c"


def test_every_example_of_the_list_says_something_else() -> None:
    texts = [re.sub(r"\s+", " ", text) for text, _ in RULES]
    assert len(set(texts)) == len(texts)
