"""The one list of commands: what holds for all of them."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from iscsiproxy.console import commands as families
from iscsiproxy.console.arguments import bind
from iscsiproxy.console.command import GROUPS, Command
from iscsiproxy.console.grammar import head_of
from iscsiproxy.console.registry import COMMANDS
from tests.console.fake import VOCABULARY

command = pytest.mark.parametrize("command", list(COMMANDS), ids=[one.name for one in COMMANDS])


@command
def test_a_command_has_a_group_and_a_help_that_fits_on_a_small_screen(command: Command) -> None:
    assert command.group in GROUPS
    assert command.help
    assert len(command.help) <= 66


@command
def test_the_examples_of_a_command_are_right(command: Command) -> None:
    for example in command.examples:
        head = head_of(example)
        assert head is not None
        assert head.text == command.name
        if not command.is_rule(example[head.end :], VOCABULARY):
            bind(command.name, command.arguments, example, head.end)


@command
def test_the_function_of_a_command_is_asynchronous(command: Command) -> None:
    assert inspect.iscoroutinefunction(command.run)


def test_no_name_is_given_twice() -> None:
    names = [name for one in COMMANDS for name in (one.name, *one.aliases)]
    assert len(set(names)) == len(names)


def test_no_function_of_the_families_is_left_out() -> None:
    directory = Path(inspect.getfile(families)).parent
    modules = [import_module(f"{families.__name__}.{path.stem}") for path in directory.glob("[a-z]*.py")]
    made = {
        function
        for module in modules
        for name in module.__all__
        if inspect.iscoroutinefunction(function := getattr(module, name)) and name != "rule_line"
    }
    assert made == {one.run for one in COMMANDS}


def test_what_an_operator_needs_is_there() -> None:
    """The acts themselves are no commands."""
    names = {name for one in COMMANDS for name in (one.name, *one.aliases)}
    assert names >= {
        *("sessions", "conns", "tasks", "negotiated", "window", "watch", "show", "findings", "explain"),
        *("arm", "disarm", "rules", "clear", "hold", "held", "edit", "step", "release", "drop"),
        *("inject", "kill", "stall", "resume", "record", "save", "help", "quit"),
    }
