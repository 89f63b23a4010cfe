from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language import load, load_all
from iscsiproxy.language.document import Entry, Listing, Scalar, Table
from iscsiproxy.language.line import load_line
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.rendering import act_text, as_line, gives_bytes
from iscsiproxy.language.spec import NOWHERE, Rule, Scenario
from tests.language.samples import outcome, shape

__all__: list[str] = []

FAULTS = sorted((Path(__file__).parents[2] / "faults").rglob("*.yaml"))
#: What a line alone cannot say: names that another rule binds or has, and the states of a machine.
ELSEWHERE = ("nothing in the file binds", "there is no rule with a name", "there is no state of this machine")


def rules_of(scenario: Scenario) -> list[Rule]:
    return [*scenario.rules, *(rule for one in scenario.machines for state in one.states for rule in state.rules)]


def rule_of(written: str) -> Rule:
    return load(f"scenario: x\nvictim: both\nrules:\n  - {written}\n", file="x.yaml", acts=SPECS).rules[0]


def test_every_rule_that_ships_is_read_again_as_it_was_from_its_line() -> None:
    same, elsewhere = 0, []
    for path in FAULTS:
        for scenario in load_all(path.read_text(encoding="utf-8"), file=str(path), acts=SPECS):
            for rule in filter(lambda rule: rule.do, rules_of(scenario)):
                text = as_line(rule)
                found = outcome(lambda text=text: load_line(text, name="x", acts=SPECS))  # type: ignore[misc]
                if isinstance(found, FileError):
                    elsewhere.append((text, [error.message for error in (found, *found.others)]))
                else:
                    same += 1
                    assert shape((found.rules[0].do, found.rules[0].when)) == shape((rule.do, rule.when)), text
    assert all(any(part in message for part in ELSEWHERE for message in messages) for _, messages in elsewhere)
    assert same > 5 * len(elsewhere)
    assert same > 300


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("{when: Data-Out nth 1, do: drop}", "drop Data-Out nth 1"),
        ("{when: 5s then R2T, do: [drop, {close: rst}]}", "drop; close rst when 5s then R2T"),
        ("{when: [R2T nth 1, 5s], do: pass}", "pass when [R2T nth 1, 5s]"),
        ("{when: R2T nth 1 as r}", "when R2T nth 1 as r"),
        ("{when: SCSI-Command, do: {answer: {Status: BUSY}}}", "answer Status=BUSY SCSI-Command"),
        (
            "{when: SCSI-Response of n then SCSI-Command as n, do: answer}",
            "answer when SCSI-Response of n then SCSI-Command as n",
        ),
        ("{when: full-feature, do: {probe: {wait: no, pdu: NOP-Out}}}", "probe NOP-Out wait=no full-feature"),
        ("{when: R2T, do: {delay: {until: released, at_most: no}}}", "hold R2T"),
        ("{when: R2T, do: {delay: {until: released, overtake: yes, at_most: no}}}", "hold overtake=yes R2T"),
        ("{when: R2T, do: {delay: {until: 5s, at_most: no}}}", "delay 5s at_most=no R2T"),
        ("{when: R2T, do: {delay: released}}", "delay released R2T"),
        ("{when: R2T, do: {delay: R2T nth 2}}", "delay (R2T nth 2) R2T"),
        ("{when: R2T, do: {note: it is here}}", 'note "it is here" R2T'),
        ("{when: R2T, do: {note: Reject}}", "note text=Reject R2T"),
        ("{when: R2T, do: {note: a=b}}", "note text=a=b R2T"),
        ("{when: R2T, do: {note: when}}", "note text=when R2T"),
        ("{when: R2T, do: {note: 'say \"no\" to'}}", "note 'say \"no\" to' R2T"),
        ("{when: Data-Out, do: {set: {data: 'ab c'}}}", 'set data="ab c" Data-Out'),
        ("{when: Data-Out, do: {set: {data: '0x00'}}}", 'set data="0x00" Data-Out'),
        ("{when: Data-Out, do: {set: {data: 0x00}}}", "set data=0x00 Data-Out"),
        ('{when: Data-Out, do: {set: {data: "a\\0b"}}}', "set data=0x610062 Data-Out"),
        ("{when: Data-Out, do: {set: {'data+4': 0xff, TTT: 1}}}", "set data+4=0xff TTT=1 Data-Out"),
        (
            "{when: Login-Request, do: {text: {add: ['A=1 2', 'B=(min(1, 2))', C=3]}}}",
            'text add=["A=1 2", B=(min(1, 2)), C=3] Login-Request',
        ),
        ("{when: Login-Request, do: {set: {text.A: '(min(1, 2))'}}}", "set text.A=(min(1, 2)) Login-Request"),
        ("{when: Login-Request, do: {set: {text.A: a (b}}}", 'set text.A="a (b" Login-Request'),
        (
            "{when: Login-Request, do: {split_text: {by: C, add: {1: [X-a=1, X-b=2]}, at: X-a+1}}}",
            "split_text C add={1=[X-a=1, X-b=2]} at=X-a+1 Login-Request",
        ),
        (
            "{when: full-feature, do: {inject: {pdu: SCSI-Command, CDB: READ lba=0 blocks=8}}}",
            "inject SCSI-Command CDB=(READ lba=0 blocks=8) full-feature",
        ),
    ],
)
def test_a_rule_is_written_as_it_would_be_typed(written: str, text: str) -> None:
    rule = rule_of(written)
    assert as_line(rule) == text
    if rule.do:
        (again,) = load_line(text, name="x", acts=SPECS).rules
        assert shape((again.when, [(act.name, act.params, act.fields) for act in again.do])) == shape(
            (rule.when, [(act.name, act.params, act.fields) for act in rule.do])
        )


def test_what_a_line_cannot_say_is_left_out() -> None:
    rule = rule_of("{name: lossy, armed: no, optional: yes, when: R2T, until: Logout-Request, do: drop}")
    assert as_line(rule) == "drop R2T"


@given(st.text(alphabet="ab \"'()[]{},;=$-+.#\t", max_size=12).filter(lambda text: "$" not in text))
def test_any_text_is_written_so_that_it_is_read_again(text: str) -> None:
    where = NOWHERE
    act = act_text(SPECS["note"], Scalar(text, where), Parameters({}))
    if text and not (set(text) & set("\t")):
        (again,) = load_line(f"{act} when R2T", name="x", acts=SPECS).rules
        assert again.do[0].params["text"] == text


@given(st.lists(st.text(alphabet="ab \"'()[]{},;=-+.", min_size=1, max_size=8), max_size=3))
def test_any_list_of_texts_is_written_so_that_it_is_read_again(texts: list[str]) -> None:
    pairs = [f"K={text}" for text in texts if not text.startswith("(")]
    value = Table(
        (Entry(Scalar("add", NOWHERE), Listing(tuple(Scalar(pair, NOWHERE) for pair in pairs), NOWHERE)),), NOWHERE
    )
    act = act_text(SPECS["text"], value, Parameters({}))
    (again,) = load_line(f"{act} Login-Request", name="x", acts=SPECS).rules
    assert again.do[0].params["add"] == tuple(pairs)


@given(st.text(max_size=12))
def test_bytes_keep_their_quotes_or_have_none(text: str) -> None:
    text = text.replace("$", "")
    value = Table((Entry(Scalar("data", NOWHERE), Scalar(text, NOWHERE, quoted=True)),), NOWHERE)
    act = act_text(SPECS["set"], value, Parameters({}))
    (again,) = load_line(f"{act} Data-Out", name="x", acts=SPECS).rules
    assert getattr(again.do[0].fields["data"], "value", None) == text.encode()


def test_what_takes_bytes_is_known_by_its_name() -> None:
    assert [name for name in ("data", "data+4", "pad", "AHS", "LUN", "text.A") if gives_bytes(SPECS["set"], name)] == [
        "data",
        "data+4",
        "pad",
        "AHS",
    ]
    assert gives_bytes(SPECS["text"], "raw")
    assert not gives_bytes(SPECS["text"], "add")
