"""What scripts wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from iscsiproxy.console.commands.scripts import waits_for_pdus
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.execute import Outcome, execute
from iscsiproxy.console.registry import COMMANDS
from tests.console.fake import FakeProxy, event, held_pdu, rule
from tests.console.playing import Sheet, answered, played, run, texts, until


def awaited(proxy: FakeProxy, line: str, happen: Callable[[], None]) -> Outcome:
    """Do a line, and let something happen while it waits."""

    async def main() -> Outcome:
        async with proxy.client() as api:
            desk = Desk(api=api, paper=Sheet(), commands=COMMANDS)
            waiting = asyncio.create_task(execute(desk, line))
            await until(lambda: bool(proxy.streams))
            happen()
            outcome = await waiting
        assert outcome is not None
        return outcome

    return run(main())


def test_what_is_held_already_is_not_waited_for() -> None:
    [row] = answered(FakeProxy(held_={7: held_pdu(7)}), "wait held")
    assert row.startswith("held 7 SCSI-Command")


def test_a_pdu_is_waited_for_until_it_is_held() -> None:
    proxy = FakeProxy()

    def hold() -> None:
        proxy.tell(event(7))
        proxy.held_[7] = held_pdu(7)
        proxy.tell(event(8, "decided", what="held", rule="a/1", of=7))

    assert texts(awaited(proxy, "wait held", hold))[0].startswith("held 7 ")


def test_a_rule_is_waited_for_until_it_has_fired() -> None:
    proxy = FakeProxy(rules_=[rule("a/1"), rule("b/1")])

    def fire() -> None:
        proxy.tell(event(1, "fired", rule="b/1", text="FAULT b/1"))
        proxy.tell(event(2, "fired", rule="a/1", text="FAULT a/1"))

    assert texts(awaited(proxy, "wait fired a", fire))[0].endswith("FAULT a/1")


def test_a_rule_that_has_fired_is_not_waited_for() -> None:
    assert answered(FakeProxy(rules_=[rule("a/1", fired=1)]), "wait fired a/1") == ["a/1 has fired"]


def test_a_rule_that_is_not_there_cannot_fire() -> None:
    [outcome] = played(FakeProxy(), "wait fired a/1")
    assert texts(outcome) == ["there is no rule `a/1`"]


def test_a_pdu_is_waited_for_until_it_passes() -> None:
    proxy = FakeProxy()

    def pass_() -> None:
        proxy.tell(event(1))
        proxy.tell(event(2, label="R2T", text="R2T"))

    assert texts(awaited(proxy, "wait R2T", pass_))[0].split()[0] == "2"


def test_what_has_passed_since_the_script_began_counts_but_only_once() -> None:
    proxy = FakeProxy(events=[event(1, label="R2T"), event(2, label="R2T")])
    outcomes = played(proxy, "wait R2T", "wait R2T", "wait R2T for 20ms")
    assert [texts(outcome)[0].split()[0] for outcome in outcomes[:2]] == ["1", "2"]
    assert texts(outcomes[2]) == ["'R2T' did not come within 0.02s"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("wait held for 20ms", "nothing was held within 0.02s"),
        ("wait fired a for 20ms", "a did not fire within 0.02s"),
        ("wait R2T for 20ms", "'R2T' did not come within 0.02s"),
        ("wait", "`wait` needs to know for what: `held`, `fired RULE` or a pattern"),
        ("wait fired", "`wait fired` needs the name of a rule, as `rules` lists it"),
        ("wait held R2T", "`wait held` waits for any PDU; `hold` says which are held"),
    ],
)
def test_waiting_in_vain_fails(line: str, said: str) -> None:
    [outcome] = played(FakeProxy(rules_=[rule("a/1")]), line)
    assert outcome.failed
    assert texts(outcome) == [said]


@pytest.mark.parametrize("line", ["wait held", "wait fired a/1", "wait R2T"])
def test_a_proxy_that_ends_is_not_waited_for(line: str) -> None:
    proxy = FakeProxy(rules_=[rule("a/1")])

    def end() -> None:
        for stream in proxy.streams:
            stream.offer(None)

    assert texts(awaited(proxy, line, end)) == ["the proxy has ended"]


def test_sleep_does_nothing_and_echo_prints() -> None:
    assert answered(FakeProxy(), "sleep 1ms") == []
    assert answered(FakeProxy(), "echo  now   this") == ["now   this"]
    assert answered(FakeProxy(), "echo") == [""]


@pytest.mark.parametrize(
    ("line", "waits"),
    [
        ("wait R2T", True),
        ("  wait R2T where x", True),
        ("wait held", False),
        ("wait fired x", False),
        ("wait", False),
        ("echo wait R2T", False),
    ],
)
def test_a_line_that_waits_for_a_pdu_is_known_beforehand(line: str, waits: bool) -> None:
    assert waits_for_pdus(line) is waits
