from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language.completion import Completion, complete
from iscsiproxy.language.line import load_line
from iscsiproxy.language.vocabulary import ITEMS
from iscsiproxy.wire.opcodes import Opcode
from tests.language.samples import outcome

__all__: list[str] = []


def at(text: str, form: str = "line") -> Completion:
    """Complete where a `|` stands, else at the end."""
    cursor = text.find("|") if "|" in text else len(text)
    assert form in ("line", "acts", "pattern")
    return complete(text.replace("|", "", 1), cursor, acts=SPECS, form=form)  # type: ignore[arg-type] # just asserted


def texts(text: str, form: str = "line") -> list[str]:
    return [one.text for one in at(text, form).candidates]


#: a line, the word being typed, and what is offered for it
WORDS: list[tuple[str, str, list[str]]] = [
    ("dr", "dr", ["drop"]),
    ("di", "di", ["disarm"]),
    ("pass; del", "del", ["delay"]),
    ("  ho", "ho", ["hold"]),
    ("drop Data-", "Data-", ["Data-Out", "Data-In"]),
    ("drop data-o", "data-o", ["Data-Out"]),
    ("drop command", "command", ["SCSI-Command"]),
    ("drop num", "num", ["numbers="]),
    ("drop numbers=", "", ["raw", "translate"]),
    ("drop numbers=t", "t", ["translate"]),
    ("drop whe", "whe", ["when"]),
    ("drop when barr", "barr", ["barrier"]),
    ("drop when 5s th", "th", ["then"]),
    ("drop when [5s, R2", "R2", ["R2T"]),
    ("drop Data-Out wh", "wh", ["where"]),
    ("drop Data-Out or Data-I", "Data-I", ["Data-In"]),
    ("drop Data-Out from v", "v", ["victim"]),
    ("drop Data-Out at ", "", ["initiator", "target"]),
    ("drop Data-Out per ", "", ["run", "session", "connection", "task"]),
    ("drop Data-Out as ", "", ["each"]),
    ("drop Data-Out nth 1 chan", "chan", ["chance"]),
    ("drop Data-Out as n th", "th", ["then"]),
    ("drop R2T then Data-O", "Data-O", ["Data-Out"]),
    ("drop Data-Out where DataS", "DataS", ["DataSN", "DataSegmentLength"]),
    ("drop Data-Out where not (F or BufferO", "BufferO", ["BufferOffset"]),
    ("drop Data-Out where F contains", "contains", ["contains"]),
    ("drop Data-Out where F a", "a", ["and", "after", "as"]),
    ("drop Data-Out where F in ", "", ["("]),
    ("drop SCSI-Response where Status == CH", "CH", ["CHECK_CONDITION"]),
    ("drop SCSI-Response where Status in (GOOD, BU", "BU", ["BUSY"]),
    ("drop SCSI-Response where Status in (GO .. BU", "BU", []),
    ('drop SCSI-Command where CDB.name == "WRITE(1', '"WRITE(1', ['"WRITE(10)"', '"WRITE(12)"', '"WRITE(16)"']),
    ("drop SCSI-Command where CDB.", "CDB.", ["CDB.name", "CDB.LBA", "CDB.blocks"]),
    ("drop SCSI-Command where key.MaxB", "key.MaxB", ["key.MaxBurstLength"]),
    ("drop close where ho", "ho", ["how"]),
    ("drop close where how == ", "", []),
    ("close h", "h", ["half", "how="]),
    ("close rst at=he", "he", ["header", "header-digest"]),
    ("close rst a", "a", ["at="]),
    ("set Sta| SCSI-Response", "Sta", ["Status=", "StatusQualifier="]),
    ("set Status=BU| SCSI-Response", "BU", ["BUSY"]),
    ("set CDB.L", "CDB.L", ["CDB.LBA="]),
    ("set CDB=(WR", "WR", ["WRITE"]),
    ("set text.Immediate| Login-Request", "text.Immediate", ["text.ImmediateData="]),
    ("set text.ImmediateData=| Login-Request", "", ["Yes", "No"]),
    ("inject NOP-", "NOP-", ["NOP-Out", "NOP-In"]),
    ("inject NOP-In TT", "TT", ["TTT="]),
    ("inject NOP-In TTT=fr", "fr", ["fresh"]),
    ("inject Async AsyncEvent=LOG", "LOG", ["LOGOUT_REQUEST"]),
    ("probe Text-Request text=[SendT", "SendT", ["SendTargets="]),
    ('probe Text-Request text="SendT', "SendT", ["SendTargets="]),
    ("probe Text-Request text=[A=1, SendT", "SendT", ["SendTargets="]),
    ("answer Status=BU| SCSI-Command", "BU", ["BUSY"]),
    ("delay re", "re", ["released"]),
    ("delay (SCSI-R", "SCSI-R", ["SCSI-Response"]),
    ("delay [5s, SCSI-R", "SCSI-R", ["SCSI-Response"]),
    ("delay until=(SCSI-R", "SCSI-R", ["SCSI-Response"]),
    ("hold o", "o", ["overtake=", "orphans="]),
    ("resize leng| Data-In", "leng", ["length"]),
    ("resize (length | Data-In", "", ["+", "-", "*", "/", "%", "&"]),
    ("resize (length - leng| Data-In", "leng", ["length"]),
    ("throttle 64KiB sl", "sl", ["slice="]),
]


@pytest.mark.parametrize(("text", "word", "offered"), WORDS)
def test_what_may_come_next(text: str, word: str, offered: list[str]) -> None:
    found = at(text)
    assert found.word == word
    assert found.start == len(text.partition("|")[0]) - len(word)
    assert set(texts(text)[: len(offered)]) == set(offered)
    assert offered or not [one for one in found.candidates if one.text.startswith(word or "~")]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", {"act"}),
        ("drop ", {"param", "clause", "pdu", "event"}),
        ("set ", {"param", "field", "clause", "pdu", "event"}),
        ("inject ", {"pdu"}),
        ("corrupt ", {"value"}),
        ("delay ", {"clause", "duration", "capture"}),
        ("replay ", {"capture"}),
        ("note ", {"text"}),
        ("goto ", {"state"}),
        ("arm ", {"rule"}),
        ("split ", {"name", "function", "number", "param", "clause", "pdu", "event"}),
        ("drop R2T of ", {"capture"}),
        ("drop R2T nth ", {"number"}),
        ("drop R2T where ", {"operator", "name", "function", "number", "capture"}),
        ("drop R2T where F ", {"operator", "clause"}),
        ("drop when ", {"pdu", "event", "clause", "duration", "capture"}),
        ("delay 5s at_most=", {"value", "duration"}),
        ("set LUN=", {"value", "name", "function", "number"}),
        ("nobody ", set()),
        ("drop nobody ", set()),
    ],
)
def test_which_kinds_of_words_may_come_next(text: str, kinds: set[str]) -> None:
    assert set(at(text).kinds) == kinds


def test_no_moment_is_offered_where_a_pdu_is_in_hand() -> None:
    assert texts("", "acts") == ["set", "text", "corrupt", "resize"]
    assert not set(texts("set F=1 ", "acts")) & {*ITEMS, "when"}
    found = complete("set Data", 8, acts=SPECS, form="acts", opcodes=frozenset({Opcode.DATA_OUT}))
    assert [one.text for one in found.candidates] == ["DataSN=", "DataSegmentLength=", "data="]


def test_a_pattern_alone_has_no_other_steps() -> None:
    assert set(texts("", "pattern")) == set(ITEMS)
    assert "then" not in texts("R2T ", "pattern")
    assert texts("R2T where R2TS", "pattern") == ["R2TSN"]


def test_the_moment_behind_the_cursor_tells_whose_fields_are_offered() -> None:
    assert "R2TSN=" in texts("set | R2T")
    assert "CmdSN=" not in texts("set | R2T")
    assert {"R2TSN=", "CmdSN="} <= set(texts("set "))
    assert "CmdSN=" not in texts("inject R2T | SCSI-Command")


def test_what_is_offered_has_its_help() -> None:
    without = [one for text in ("", "drop ", "set ", "drop R2T ", "drop R2T where ") for one in at(text).candidates]
    assert [one.text for one in without if not one.help and one.kind not in ("clause", "operator", "name")] == []


def test_each_word_of_a_line_is_offered_where_it_stands() -> None:
    line = "set Status=BUSY; close rst at=header SCSI-Response where Status == GOOD nth 1 then R2T"
    for word in (
        "set",
        "Status=",
        "BUSY",
        "close",
        "rst",
        "at=",
        "header",
        "where",
        "==",
        "GOOD",
        "nth",
        "then",
        "R2T",
    ):
        start = line.index(word)
        found = complete(line, start + 1, acts=SPECS) if word != "==" else complete(line, start, acts=SPECS)
        assert word in [one.text for one in found.candidates], word


_PIECES = [
    *("drop", "set", "close", "delay", "hold", "inject", "answer", "note", "text", "when", "then", "where", "nth"),
    *("SCSI-Command", "Data-Out", "R2T", "close", "rst", "5s", "released", "F=1", "TTT=fresh", "at=end", "in", "of"),
    *("(", ")", "[", "]", ",", ";", '"', "=", "==", "$x", "n", "1", "+", "-", "{", "}", "as", "or", "text.", "CDB."),
]


@given(st.lists(st.sampled_from(_PIECES), max_size=10).map(" ".join), st.integers(-1, 80))
@example("delay [(", 8)
@example("set F=(", 7)
def test_any_line_is_completed_or_offered_nothing(text: str, cursor: int) -> None:
    for form in ("line", "acts", "pattern"):
        found = complete(text, cursor, acts=SPECS, form=form)
        here = min(max(cursor, 0), len(text))
        assert 0 <= found.start <= here
        assert found.word == text[found.start : here]


@given(st.text(max_size=30), st.integers(0, 30))
def test_any_text_is_completed_or_offered_nothing(text: str, cursor: int) -> None:
    for form in ("line", "acts", "pattern"):
        complete(text, cursor, acts=SPECS, form=form)


@given(st.sampled_from(["set ", "drop R2T ", "drop R2T where F ", "close ", "inject ", "drop "]), st.data())
def test_what_is_offered_is_never_unknown_to_the_reader(begin: str, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(texts(begin)))
    found = outcome(lambda: load_line(f"{begin}{word}", name="x", acts=SPECS))
    if isinstance(found, FileError):
        assert not any(f"no parameter or field `{word}" in error.message for error in (found, *found.others))
        assert f"`{word}` does not belong here" not in found.message
