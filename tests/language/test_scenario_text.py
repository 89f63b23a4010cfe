from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language import load, load_all
from iscsiproxy.language.line import Line, read_line
from iscsiproxy.language.scenario_text import FiledRule, scenario_text
from iscsiproxy.language.spec import Rule
from tests.language.samples import shape

__all__: list[str] = []

FAULTS = sorted((Path(__file__).parents[2] / "faults").rglob("*.yaml"))
#: Their rules speak of names that an actor binds.
OF_ACTORS = {"old_session_writes_after_reinstatement", "preempted_while_reads_run"}


def line(text: str) -> Line:
    return read_line(text, acts=SPECS)


def test_a_file_of_what_was_typed() -> None:
    text = scenario_text(
        "by_hand",
        [
            FiledRule(
                rule=line("drop Data-Out where DataSN == 2 nth 1 as lost"), name="lost", comment="typed at 3.2 s"
            ),
            FiledRule(rule=line("pass; delay 20s; close fin TMF-Request"), optional=True),
            line('inject NOP-In TTT=0x12345678; note "a, b"'),
            line('set CDB.LBA=2048 data="x" SCSI-Command where CDB.name == "WRITE(10)"'),
            line("hold R2T nth 2"),
        ],
        acts=SPECS,
        title="What was done by hand",
        about="One and two.",
        traffic={"io": "verify", "size": "64KiB"},
    )
    assert text == (
        "scenario: by_hand\n"
        "title: What was done by hand\n"
        "victim: both\n"
        "about: One and two.\n"
        "traffic: {io: verify, size: 64KiB}\n"
        "rules:\n"
        "  # typed at 3.2 s\n"
        "  - name: lost\n"
        "    when: Data-Out where DataSN == 2 nth 1 as lost\n"
        "    do: drop\n"
        "  - optional: yes\n"
        "    when: TMF-Request\n"
        "    do:\n"
        "      - pass\n"
        "      - delay: 20s\n"
        "      - close: fin\n"
        "  - when: full-feature nth 1\n"
        "    do:\n"
        "      - inject: {pdu: NOP-In, TTT: 0x12345678}\n"
        "      - note: a, b\n"
        '  - when: SCSI-Command where CDB.name == "WRITE(10)"\n'
        "    do:\n"
        '      - set: {CDB.LBA: 2048, data: "x"}\n'
        "  - when: R2T nth 2\n"
        "    do:\n"
        "      - delay: {until: released, at_most: no}\n"
    )


def test_the_victim_is_the_end_that_receives_what_all_rules_act_on() -> None:
    def victim(*texts: str) -> str:
        text = scenario_text("x", [line(one) for one in texts], acts=SPECS)
        return load(text, file="x.yaml", acts=SPECS).victim

    assert victim("drop R2T", "drop Data-In") == "initiator"
    assert victim("drop R2T", "drop Data-Out") == "both"
    assert victim("close full-feature") == "both"
    assert "victim: target\n" in scenario_text("x", [line("drop R2T")], acts=SPECS, victim="target")


def test_every_scenario_that_ships_has_the_same_rules_when_they_are_written_again() -> None:
    refused, same, other = set(), 0, 0
    for path in FAULTS:
        text = path.read_text(encoding="utf-8")
        scenario, *more = load_all(text, file=str(path), acts=SPECS)
        if not scenario.rules:
            continue
        try:
            written = scenario_text(
                scenario.name, scenario.rules, acts=SPECS, about=scenario.about, victim=scenario.victim
            )
        except FileError:
            refused.add(scenario.name)
            continue
        again = load(written, file=f"{scenario.name}.yaml", acts=SPECS)
        assert shape((again.rules, again.about, again.victim)) == shape(
            (scenario.rules, scenario.about, scenario.victim)
        ), written
        if not (more or scenario.params):
            found = re.search(r"^rules:\n.*?(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL)
            assert found is not None
            same, other = (same + 1, other) if written.endswith(found[0]) else (same, other + 1)
    assert refused == OF_ACTORS
    assert same > 3 * other > 0, "most are written letter for letter"
    assert same > 100


@pytest.mark.parametrize(
    ("name", "rules", "message"),
    [
        ("x y", ["drop R2T"], "`x y` cannot be a name"),
        ("x", ["drop R2T of n"], "nothing in the file binds the name `n`"),
        ("x", ["drop R2T as n", "drop Data-In as each n"], "`n` is bound with `as` and with `as each`"),
        ("x", ["drop when 5s"], "`drop` needs a PDU in hand"),
    ],
)
def test_a_file_that_would_be_wrong_is_not_written(name: str, rules: list[str], message: str) -> None:
    with pytest.raises(FileError, match=re.escape(message)):
        scenario_text(name, [line(text) for text in rules], acts=SPECS)


def test_two_rules_of_one_name_are_not_written() -> None:
    rules = [FiledRule(rule=line("drop R2T"), name="n"), FiledRule(rule=line("drop Data-In"), name="n")]
    with pytest.raises(FileError, match="two rules are called `n`"):
        scenario_text("x", rules, acts=SPECS)


def test_rules_of_files_keep_all_they_have() -> None:
    body = (
        "  - name: lossy\n    armed: no\n    optional: yes\n    when: [R2T nth 1, 5s then R2T]\n    do: drop\n"
        "    until: Logout-Request\n  - when: Reject as r\n  - when: Async\n    do: {arm: lossy}\n"
    )
    scenario = load(f"scenario: x\nrules:\n{body}", file="x.yaml", acts=SPECS)
    assert scenario_text("x", scenario.rules, acts=SPECS).endswith(f"rules:\n{body}")
    named = scenario_text("x", [FiledRule(rule=scenario.rules[0], name="other", optional=True)], acts=SPECS)
    assert "  - name: other\n" in named


def _rule(note: str, data: str, text: str) -> Rule:
    quoted = {key: value.replace('"', '""') for key, value in (("note", note), ("data", data), ("text", text))}
    typed = f'note text="{quoted["note"]}"; set data="{quoted["data"]}" text.A="{quoted["text"]}" Login-Request'
    return load(
        scenario_text("x", [line(typed)], acts=SPECS),
        file="x.yaml",
        acts=SPECS,
    ).rules[0]


_PRINTABLE = st.text(max_size=15).map(lambda text: "".join(sign for sign in text if sign.isprintable() and sign != "$"))


@settings(max_examples=50)
@given(_PRINTABLE, _PRINTABLE, _PRINTABLE.filter(lambda text: not text.startswith("(")))
def test_any_text_that_is_typed_is_in_the_file(note: str, data: str, text: str) -> None:
    said, changed = _rule(note, data, text).do
    assert said.params["text"] == note
    assert getattr(changed.fields["data"], "value", None) == data.encode()
    assert getattr(changed.fields["text.A"], "value", None) == text
