"""What commands have at hand: which connection, which PDU, and whether somebody agrees."""

from __future__ import annotations

import pytest

from iscsiproxy.console.desk import Desk
from iscsiproxy.console.registry import COMMANDS
from iscsiproxy.errors import UsageError
from tests.console.fake import FakeProxy, connection, held_pdu
from tests.console.playing import Sheet, played, run, texts


def test_the_only_connection_needs_no_number() -> None:
    proxy = FakeProxy()
    played(proxy, "kill")
    assert proxy.connections_ == {}


def test_of_several_connections_one_has_to_be_said() -> None:
    [outcome] = played(FakeProxy(connections_={1: connection(1), 4: connection(4)}), "kill")
    assert texts(outcome) == ["which connection? there are 1, 4; `use 4` settles it"]


def test_the_one_in_use_needs_no_number() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 4: connection(4)})
    played(proxy, "use 4", "kill")
    assert list(proxy.connections_) == [1]


def test_a_number_is_stronger_than_the_one_in_use() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 4: connection(4)})
    played(proxy, "use 4", "kill 1")
    assert list(proxy.connections_) == [4]


@pytest.mark.parametrize(("which", "left"), [("first", {5, 9}), ("last", {3, 5}), ("5", {3, 9})])
def test_a_held_pdu_is_named_by_its_number_or_its_place(which: str, left: set[int]) -> None:
    proxy = FakeProxy(held_={n: held_pdu(n) for n in (5, 9, 3)})
    played(proxy, f"release {which}")
    assert set(proxy.held_) == left


def test_the_only_held_pdu_needs_no_number() -> None:
    proxy = FakeProxy(held_={5: held_pdu(5)})
    played(proxy, "release")
    assert proxy.held_ == {}


def test_of_several_held_pdus_one_has_to_be_said() -> None:
    [outcome] = played(FakeProxy(held_={5: held_pdu(5), 3: held_pdu(3)}), "release")
    assert texts(outcome) == ["which PDU? 3, 5 are held; `first` and `last` are names for them"]


def test_with_nothing_held_that_is_told() -> None:
    [outcome] = played(FakeProxy(), "release last")
    assert texts(outcome) == ["nothing is held"]


RISKY = "drop Data-Out nth 1"


def test_what_may_corrupt_data_is_done_when_somebody_agrees() -> None:
    asked = []

    async def yes(question: str) -> bool:
        asked.append(question)
        return True

    proxy = FakeProxy(scratch=False)
    [outcome] = played(proxy, RISKY, ask=yes)
    assert not outcome.failed
    assert asked == ["it may corrupt data; do it all the same?"]
    assert [arming.confirm for arming in proxy.armings] == [True]


def test_what_may_corrupt_data_is_not_done_when_nobody_agrees() -> None:
    async def no(_question: str) -> bool:
        return False

    proxy = FakeProxy(scratch=False)
    [outcome] = played(proxy, RISKY, ask=no)
    assert texts(outcome) == ["not done"]
    assert proxy.armings == []


def test_a_script_cannot_be_asked_and_is_refused() -> None:
    proxy = FakeProxy(scratch=False)
    [outcome] = played(proxy, RISKY)
    assert outcome.problem is not None
    assert outcome.problem.error == "confirm"
    assert "--yes" in (outcome.problem.hint or "")
    assert proxy.armings == []


def test_a_script_may_say_yes_beforehand() -> None:
    proxy = FakeProxy(scratch=False)
    [outcome] = played(proxy, RISKY, yes=True)
    assert not outcome.failed


def test_on_a_scratch_target_nobody_is_asked() -> None:
    async def never(_question: str) -> bool:
        raise AssertionError

    [outcome] = played(FakeProxy(scratch=True), RISKY, ask=never)
    assert not outcome.failed


def test_the_words_of_the_language_are_asked_for_once() -> None:
    proxy = FakeProxy()
    played(proxy, "drop R2T", "drop NOP-Out", "help drop")
    assert proxy.asked.count("vocabulary") == 1


def test_a_script_has_no_events_of_a_prompt() -> None:
    async def main() -> None:
        async with FakeProxy().client() as api:
            desk = Desk(api=api, paper=Sheet(), commands=COMMANDS)
            with pytest.raises(UsageError, match="`quiet` is for the prompt"):
                desk.prompt("quiet")

    run(main())
