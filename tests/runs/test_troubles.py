from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.journal import record_of
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.expectations import Watch
from iscsiproxy.runs.verdicts import Result
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import read
from tests.runs.tale import Tale

__all__: list[str] = []

RULES = """scenario: x
victim: target
negotiate: {target: {MaxBurstLength: 4096}}
rules:
  - {name: look, when: SCSI-Command as n, optional: no}
  - {name: act, when: SCSI-Command nth 1, do: drop}
  - {name: may, when: R2T, do: drop, optional: yes}
"""


def scenario(text: str = RULES) -> Scenario:
    return load(text, file="x.yaml", acts=SPECS, built=False)


def troubles(tale: Tale, text: str = RULES, unfired: tuple[str, ...] | None = None) -> list[tuple[str, str, str]]:
    watch = Watch(scenario(text))
    for event in tale.events:
        watch.take(record_of(event))
    found: tuple[Result, ...] = (*watch.results(), *watch.troubles(unfired))
    return [(one.verdict, one.kind, f"{one.text}: {one.why}") for one in found]


def fired() -> Tale:
    """Have every rule fire that has to."""
    tale = Tale()
    n = tale.came(read(1, 1))
    tale.bound("n", n, rule="look")
    tale.act("drop", n, "act")
    return tale


def test_a_run_without_trouble() -> None:
    assert troubles(fired()) == []


def test_a_rule_that_never_fired() -> None:
    nothing = [
        ("inconclusive", "rule", "rule look when SCSI-Command as n: it never fired"),
        ("inconclusive", "rule", "rule act when SCSI-Command nth 1: it never fired"),
    ]
    assert troubles(Tale()) == nothing
    assert troubles(Tale(), unfired=("x/act",)) == nothing[1:]
    assert troubles(fired(), unfired=("x/act",)) == nothing[1:]
    assert troubles(Tale("other")) == nothing


@pytest.mark.parametrize("what", ["failed", "shadowed", "expired"])
def test_a_firing_that_came_to_nothing_does_not_count(what: str) -> None:
    tale = fired()
    n = tale.events[-3].n
    tale.decided("x/act", what, n, "so it is")  # type: ignore[arg-type]
    rule = ("inconclusive", "rule", f"rule act when SCSI-Command nth 1: it never came to its end: {what}: so it is")
    failed = ("inconclusive", "act", "rule act: an act could not be done: so it is")
    assert troubles(tale) == ([failed, rule] if what == "failed" else [rule])
    tale.act("drop", tale.came(read(2, 2)), "act")
    assert troubles(tale) == ([failed] if what == "failed" else [])


def test_a_shadowed_firing_does_not_count_for_what_else_it_did() -> None:
    tale = Tale()
    n = tale.came(read(1, 1))
    tale.bound("n", n, rule="look")
    tale.decided("x/act", "shadowed", n, "so it is")
    tale.act("note", n, "act")
    assert [text for _, _, text in troubles(tale)] == [
        "rule act when SCSI-Command nth 1: it never came to its end: shadowed: so it is"
    ]


def test_keys_that_did_not_settle_skip_the_run() -> None:
    tale = fired()
    tale.decided("x/negotiate", "skipped", None, "so it is")  # type: ignore[arg-type]
    assert troubles(tale) == [("skipped", "negotiate", "negotiate: so it is")]


def test_an_act_that_there_was_no_need_for_is_no_firing() -> None:
    tale = fired()
    tale.decided("x/act", "skipped", tale.events[-1].n, "there is no text")  # type: ignore[arg-type]
    assert troubles(tale) == []
    del tale.events[-2]
    why = "rule act when SCSI-Command nth 1: it never came to its end: skipped: there is no text"
    assert troubles(tale) == [("inconclusive", "rule", why)]


def test_keys_that_settled_for_nothing() -> None:
    text = RULES.replace(", optional: no", ", optional: yes").replace("do: drop}", "do: drop, optional: yes}", 1)
    why = "negotiate: the keys were settled so, but no rule met the traffic that they were for"
    assert troubles(Tale(), text) == [("inconclusive", "negotiate", why)]
    assert troubles(fired(), text) == []
    assert troubles(Tale(), text.replace("negotiate: {target: {MaxBurstLength: 4096}}\n", "")) == []


def test_a_hang_is_the_victims_or_nobodys() -> None:
    tale = fired()
    tale.barrier("mine", how="hung")
    tale.barrier("mine", end=End.INITIATOR, how="hung")
    assert [verdict for verdict, kind, _ in troubles(tale) if kind == "hang"] == ["fail", "inconclusive"]


WRONG = (
    "fail",
    "data",
    "data is what was written: what was read is something else: what the application saw: mismatch",
)


@pytest.mark.parametrize(
    ("act", "into", "blamed"),
    [
        ("drop", None, True),
        ("close", None, True),
        ("answer", None, False),
        ("replay", None, False),
        ("set", {"CmdSN": 9}, True),
        ("set", {"LUN": 1 << 48}, False),
        ("set", {"CDB": bytes(16)}, False),
    ],
)
def test_wrong_data_is_the_victims_unless_a_rule_misplaced_it(
    act: str, into: dict[str, int | bytes] | None, blamed: bool
) -> None:
    tale = fired()
    if into is None:
        tale.act(act, tale.came(read(2, 2)), "act")
    else:
        tale.changed(read(2, 2), read(2, 2).with_fields(into), rule="act")
    tale.io("mismatch")
    assert [one[:2] for one in troubles(tale)] == ([WRONG[:2]] if blamed else [])


def test_wrong_data_that_is_expected_is_left_to_the_expectation() -> None:
    text = RULES + "expect:\n  - first:\n      - pass: io-mismatch\n"
    tale = fired()
    tale.fault()
    tale.io("mismatch")
    assert [one[1] for one in troubles(tale, text)] == ["expectation"]


def test_an_error_of_the_proxy_itself() -> None:
    tale = fired()
    tale.noted("x/act", None, "internal error: no, a note")
    assert troubles(tale) == []
    tale.noted("", None, "internal error: KeyError(1)")
    assert troubles(tale) == [("inconclusive", "check", "the proxy: internal error: KeyError(1)")]
