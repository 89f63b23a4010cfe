from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.futile import cut_off, login_digests, unarmed
from iscsiproxy.language.spec import Rule

__all__: list[str] = []


def rules(*lines: str) -> tuple[Rule, ...]:
    text = "scenario: x\nvictim: both\nrules:\n" + "".join(f"  - {line}\n" for line in lines)
    return load(text, file="x.yaml", acts=SPECS).rules


def test_a_rule_is_armed_by_one_that_is_armed() -> None:
    chain = (
        "{name: a, armed: no, when: R2T, do: drop}",
        "{name: b, armed: no, when: R2T, do: {arm: a}}",
        "{when: 1s, do: {arm: b}}",
    )
    assert list(unarmed(rules(*chain))) == []
    assert [one.line for one in unarmed(rules(*chain[:2]))] == [4, 5]


@pytest.mark.parametrize(
    ("act", "ended"),
    [
        ("{delay: 60s}", False),
        ("{delay: 60s..90s}", False),
        ("{delay: 61s..90s}", True),
        ("{delay: {until: [90s, R2T], at_most: 1s}}", False),
        ("{delay: {until: R2T then 2s, at_most: 1s}}", True),
        ("{delay: released}", False),
        ("{throttle: {rate: 100, until: 90s}}", False),
    ],
)
def test_what_at_most_ends(act: str, ended: bool) -> None:
    ((done,),) = [rule.do for rule in rules(f"{{when: R2T, do: {act}}}")]
    assert [one.what for one in cut_off(done)] == (["at_most"] if ended else [])


@pytest.mark.parametrize(
    ("rule", "bare"),
    [
        ("{when: Login-Response, do: {corrupt: header-digest}}", True),
        ("{when: 1s then Login-Response, do: {corrupt: header-digest}}", True),
        ("{when: [Login-Response, R2T], do: {corrupt: header-digest}}", False),
        ("{when: Login-Response, do: {corrupt: {what: data-digest, digest: added}}}", False),
        ("{when: Login-Response, do: {corrupt: data}}", False),
    ],
)
def test_a_login_has_no_digest(rule: str, bare: bool) -> None:
    (read,) = rules(rule)
    assert [one.what for one in login_digests(read)] == (["digest"] if bare else [])
