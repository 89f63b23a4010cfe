from __future__ import annotations

import pytest

from iscsiproxy.language.loader import lint, load
from iscsiproxy.language.scenario import KEYS
from tests.language.samples import ACTS, errors_of, read

__all__: list[str] = []

RULES = "\nrules: {when: R2T, do: drop}\n"


def test_the_least_scenario() -> None:
    scenario = load("scenario: x\nrules: {when: R2T, do: drop}\n", file="faults/x.yaml", acts=ACTS)
    assert (scenario.name, scenario.victim, scenario.file) == ("x", "initiator", "faults/x.yaml")
    assert (scenario.version, scenario.aftermath, scenario.expect) == (1, "recovers", ())
    assert [*scenario.sections] == ["scenario", "rules"]
    assert scenario.sections["rules"].line == 2


def test_all_keys() -> None:
    scenario = read(
        "version: 1\ntitle: A $title\nabout: |\n  Two\n  lines\ncovers: ['[W12a]']\ncites: RFC 7143 4.2\n"
        "needs: [initiator.depth > 1]\nparams: {n: 2}\nmatrix: {a: [1]}\ntraffic: {io: read}\n"
        "negotiate: {target: {DataDigest: CRC32C}}\nrules: [{when: R2T nth $n, do: drop}]\n"
        "machines: {m: {states: {s: [{when: connect, do: refuse}]}}}\nactor: [{io: read}]\n"
        "expect: [{never: Reject}]\naftermath: none\ntiming: {hang: 9s}\n"
    )
    assert {*scenario.sections} == {*KEYS}
    assert (scenario.title, scenario.about) == ("A $title", "Two\nlines")
    assert (scenario.covers, scenario.cites) == (("[W12a]",), ("RFC 7143 4.2",))
    assert (scenario.params, scenario.axes) == ({"n": "2"}, {"a": "1"})
    assert (scenario.aftermath, scenario.timing.hang) == ("none", 9.0)


@pytest.mark.parametrize(
    ("body", "victim"),
    [
        ("rules: [{when: Data-Out, do: drop}]", "target"),
        ("rules: [{when: Data-In or R2T, do: drop}]", "initiator"),
        ("rules: [{when: Data-Out, do: drop}, {when: R2T as r}, {when: 5s, do: close}]", "target"),
        ("actor: [{io: read}]", "target"),
    ],
)
def test_the_victim_receives_what_the_rules_act_on(body: str, victim: str) -> None:
    assert load(f"scenario: x\n{body}\n", file="x.yaml", acts=ACTS, built=False).victim == victim


@pytest.mark.parametrize(
    "body", ["rules: [{when: Any-PDU, do: drop}]", "rules: [{when: 5s, do: close}]", "rules: [{when: R2T as r}]"]
)
def test_a_victim_that_cannot_be_told_has_to_be_said(body: str) -> None:
    (error,) = lint(f"scenario: x\n{body}\n", file="x.yaml", acts=ACTS)
    assert error.message == "the rules do not tell who the victim is"
    assert (error.line, error.column) == (1, 1)
    assert lint(f"scenario: x\nvictim: both\n{body}\n", file="x.yaml", acts=ACTS) == ()


def test_the_victim_is_known_in_patterns() -> None:
    scenario = load(
        "scenario: x\nvictim: target\nrules: {when: close from victim, do: {note: x}}\n", file="x", acts=ACTS
    )
    step = scenario.rules[0].when[0].steps[0]
    assert getattr(step, "sender", None) == "target"


ACTOR = """
actor:
  - login: {as: A, offer: {MaxConnections: 2}}
  - login: {as: B, join: A, ITT: 7, CSG: 1}
  - send: {conn: A, pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8, as: n, data: none}
  - send: {conn: B, pdu: Logout-Request, ReasonCode: CLOSE_CONNECTION, CID: A.CID, as: gone}
  - send: {conn: B, again: n, I: 1}
  - delay: {until: Logout-Response of gone, conn: B}
  - probe: {pdu: NOP-Out, conn: B}
  - io: {do: read, size: 4KiB, conn: A}
  - close: {how: rst, conn: A}
  - note: done
"""


def test_an_actor() -> None:
    scenario = read(ACTOR)
    names = [act.name for act in scenario.actor]
    assert names == ["login", "login", "send", "send", "send", "delay", "probe", "io", "close", "note"]
    assert list(scenario.actor[1].fields) == ["ITT", "CSG"]
    assert scenario.actor[2].params["data"] == "none"
    assert scenario.actor[5].params["conn"] == "B"


#: what is said, line, column, part of the message, part of the hint
WRONG = [
    ("ruls: []", 3, 1, "a scenario has no key `ruls`", "`rules`"),
    ("title: x", 1, 1, "a scenario has `rules`, `machines` or `actor`", ""),
    ("rules:", 3, 7, "expected a rule", ""),
    ("version: 2" + RULES, 3, 10, "version `2`", "this is 1"),
    ("aftermath: recover" + RULES, 3, 12, "`aftermath` is `recovers`", "`recovers`"),
    ("title: |\n  a\n  b" + RULES, 3, 8, "a title is one line", "`about`"),
    ("covers: {a: b}" + RULES, 3, 9, "expected a text, not a mapping", ""),
    ("cites: [[a]]" + RULES, 3, 9, "expected a text, not a list", ""),
    ("actor: [{login: {as: A, join: A, resume: A}}]", 3, 10, "a login has one of", ""),
    ("actor: [{login: {as: A, CmdSNN: 1}}]", 3, 25, "no parameter or field `CmdSNN`", "`CmdSN`"),
    ("actor: [{send: {as: x}}]", 3, 10, "`send` needs `pdu` or `again`", ""),
    ("actor: [{send: {pdu: NOP-Out, conn: A}}]", 3, 37, "nothing in the file binds the name `A`", ""),
    ("actor: [drop]", 3, 9, "there is no act `drop`", ""),
    ("actor: [{io: verfy}]", 3, 14, "`do` is `verify`", "`verify`"),
    ("params: {n: 2}" + RULES, 3, 10, "the parameter `n` is used nowhere", "`$n`"),
    ("params: {n: 2}\nmatrix: {n: [1]}" + RULES, 4, 10, "`n` is a parameter already", ""),
]


@pytest.mark.parametrize(("body", "line", "column", "message", "hint"), WRONG)
def test_what_is_wrong(body: str, line: int, column: int, message: str, hint: str) -> None:
    (error,) = errors_of(body)
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    assert hint in (error.hint or "")


#: the whole file, line, column, part of the message, part of the hint
WRONG_HEADS = [
    ("rules: {when: R2T, do: drop}", 1, 1, "`scenario` is missing", ""),
    ("scenario: y\nrules: {when: R2T, do: drop}", 1, 11, "is called `y` and its file `x.yaml`", "`scenario: x`"),
    ("scenario: a b\nrules: {when: R2T, do: drop}", 1, 11, "`a b` cannot be a name", ""),
    ("scenario: [x]\nrules: {when: R2T, do: drop}", 1, 11, "not a list", ""),
    ("scenario: x\nvictim: me\nrules: {when: R2T, do: drop}", 2, 9, "`victim` is `target`", ""),
    ("x", 1, 1, "expected a scenario: a mapping", ""),
    ("[x]", 1, 1, "not a list", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), WRONG_HEADS)
def test_a_wrong_head(text: str, line: int, column: int, message: str, hint: str) -> None:
    (error,) = lint(text, file="dir/x.yaml", acts=ACTS)
    assert message in error.message
    assert (error.file, error.line, error.column) == ("dir/x.yaml", line, column)
    assert hint in (error.hint or "")


def test_a_text_that_is_no_file_may_have_any_name() -> None:
    assert load("scenario: y\nrules: {when: R2T, do: drop}", file="<console>", acts=ACTS).name == "y"
