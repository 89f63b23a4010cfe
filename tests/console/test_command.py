"""Commands made from functions."""

from __future__ import annotations

from typing import Literal

import pytest

from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import Conn
from iscsiproxy.console.command import Command, Registry, unless_it_fits, with_moment
from iscsiproxy.console.desk import Desk
from tests.console.fake import VOCABULARY


async def halt(desk: Desk, conn: Conn | None = None, how: Literal["hard", "soft"] = "hard") -> Answer:
    """Let it stand.

    What is told
    in two lines.
    """
    return said(f"{desk!r} {conn} {how}")


HALT = Command(name="halt", group="wire", run=halt, aliases=("stop",))


def test_a_command_is_its_function() -> None:
    assert HALT.usage == "halt [CONN] [hard|soft]"
    assert HALT.help == "Let it stand"
    assert HALT.more == ["What is told", "in two lines."]


def test_a_command_that_is_no_act_is_never_a_rule() -> None:
    assert not HALT.is_rule(" R2T nth 3", VOCABULARY)


@pytest.mark.parametrize(("rest", "rule"), [("", False), (" 2 soft", False), (" 5s", True), (" R2T nth 3", True)])
def test_a_command_may_be_a_rule_where_its_arguments_do_not_fit(rest: str, rule: bool) -> None:
    command = Command(name="halt", group="wire", run=halt, rule_if=unless_it_fits)
    assert command.is_rule(rest, VOCABULARY) is rule


@pytest.mark.parametrize(
    ("rest", "rule"), [("", False), (" 2 soft", False), (" 2 R2T", True), (" 2 when 5s", True), (" 2; drop", True)]
)
def test_a_command_may_be_a_rule_where_a_moment_follows(rest: str, rule: bool) -> None:
    command = Command(name="halt", group="wire", run=halt, rule_if=with_moment)
    assert command.is_rule(rest, VOCABULARY) is rule


def test_commands_are_found_by_their_names_and_aliases() -> None:
    registry = Registry([HALT])
    assert registry.find("halt") is registry.find("stop") is HALT
    assert registry.find("drop") is None
    assert list(registry) == [HALT]
    assert registry.nearest("hallt") == "did you mean `halt`?"
    assert registry.nearest("dropp", ["drop"]) == "did you mean `drop`?"
