"""Help, keys, and ways out."""

from __future__ import annotations

from typing import Literal

import pytest

from iscsiproxy.console import DETACHED
from iscsiproxy.console.answer import LeaveError
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.execute import execute
from iscsiproxy.console.registry import COMMANDS
from tests.console.fake import FakeProxy
from tests.console.playing import Sheet, StillLive, answered, played, run, texts


def left(line: str, *, attached: bool) -> int:
    async def main() -> int:
        async with FakeProxy().client() as api:
            desk = Desk(api=api, paper=Sheet(), commands=COMMANDS, attached=attached)
            with pytest.raises(LeaveError) as raised:
                await execute(desk, line)
            return raised.value.status

    return run(main())


@pytest.mark.parametrize(
    ("line", "attached", "status"),
    [("quit", False, 0), ("exit", True, 0), ("detach", False, 0), ("detach", True, DETACHED)],
)
def test_the_status_tells_the_run_whether_to_go_on(line: str, attached: bool, status: int) -> None:
    assert left(line, attached=attached) == status


def test_help_names_every_command_and_act_on_a_small_screen() -> None:
    shown = answered(FakeProxy(), "help", width=80)
    words = " ".join(shown).split()
    assert {one.name for one in COMMANDS} <= set(words)
    assert {"drop", "delay", "pass"} <= set(words)
    assert max(map(len, shown)) <= 80
    assert len(shown) <= 22


def test_help_of_everything_has_a_line_for_each() -> None:
    shown = answered(FakeProxy(), "help all", width=80)
    for one in COMMANDS:
        assert any(row.startswith(f"  {one.name} ") and row.endswith(one.help) for row in shown)


def test_help_of_a_command_that_is_an_act_too_tells_of_both() -> None:
    shown = answered(FakeProxy(), "help drop")
    assert shown[0] == "drop [N]"
    assert "drop [PARAM=VALUE …]  (an act)" in shown


def test_help_of_an_alias_is_that_of_the_command() -> None:
    assert answered(FakeProxy(), "help exit")[0] == "quit"


def test_help_of_nothing_names_the_nearest() -> None:
    [outcome] = played(FakeProxy(), "help dorp")
    assert texts(outcome) == ["there is no command and no act `dorp` (did you mean `drop`?)"]


def test_the_keys_of_a_prompt_are_switched() -> None:
    chosen: list[str] = []

    def switch(keys: Literal["emacs", "vi"]) -> None:
        chosen.append(keys)

    async def main() -> None:
        async with FakeProxy().client() as api:
            desk = Desk(api=api, paper=Sheet(), commands=COMMANDS, live=StillLive(), switch_editing=switch)
            await execute(desk, "editing vi")

    run(main())
    assert chosen == ["vi"]


def test_a_script_has_no_keys() -> None:
    [outcome] = played(FakeProxy(), "editing vi")
    assert texts(outcome) == ["`editing` is for the prompt"]
