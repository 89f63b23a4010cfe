from __future__ import annotations

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.spec import Bound, Pattern
from iscsiproxy.language.walking import (
    binds,
    bounds_in,
    judged,
    mentions,
    moments_of,
    moments_of_rule,
    needed,
    patterns_of,
    whole,
)

SCENARIO = load(
    """
scenario: x
victim: target
rules:
  - when: SCSI-Command nth 1 as n then n then R2T of n where R2TSN == n.LUN
    until: 5s
    do:
      - delay: {until: [R2T of n as r, n], overtake: yes}
      - inject: {pdu: SNACK, BegRun: r.R2TSN, text: [a=b], conn: n, as: s}
expect:
  - first: [{pass: R2T}, {fail: nothing}]
  - never: Reject
""",
    file="x.yaml",
    acts=SPECS,
    built=False,
)


def test_what_is_in_a_rule() -> None:
    (rule,) = SCENARIO.rules
    delay, inject = rule.do
    assert [moment.text for moment in moments_of(delay)] == ["R2T of n as r", "n"]
    assert [moment.text for moment in moments_of_rule(rule)][1:] == ["5s", "R2T of n as r", "n"]
    assert [pattern.text for pattern in patterns_of(rule.when)] == [
        "SCSI-Command nth 1 as n",
        "R2T of n where R2TSN == n.LUN",
    ]
    assert list(bounds_in(rule.when)) == [Bound(name="n")]
    assert binds(inject) == {"s"}
    assert binds(delay) == set()
    assert {"n", "r"} <= mentions(inject)
    assert "s" not in mentions(inject)
    last = rule.when[0].steps[-1]
    assert isinstance(last, Pattern)
    assert needed(last) == {"n"}


def test_what_an_expectation_is_about() -> None:
    first, second = SCENARIO.expect
    assert [pattern.text for pattern in judged(first)] == ["R2T"]
    assert [pattern.text for pattern in judged(second)] == ["Reject"]


def test_a_piece_belongs_to_its_name() -> None:
    assert (whole("s.1"), whole("s"), whole("s.first")) == ("s", "s", "s.first")
