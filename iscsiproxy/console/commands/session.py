"""The console itself: help, how lines are edited, and how to leave."""

from __future__ import annotations

from typing import Literal

from iscsiproxy.console import DETACHED
from iscsiproxy.console.answer import Answer, LeaveError, said
from iscsiproxy.console.arguments import Topic
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.lines import Line
from iscsiproxy.console.views import help as views
from iscsiproxy.errors import UsageError

__all__ = ["detach", "editing", "help_", "quit_"]


async def help_(desk: Desk, topic: Topic | None = None) -> Answer:
    """Tell what commands there are, or all of one.

    `help all` has a line for each.
    """
    vocabulary = await desk.vocabulary()
    if topic in (None, "all"):
        shape = views.overview if topic is None else views.everything
        names = [one.name for one in desk.commands]
        return Answer(data=names, view=lambda width: shape(desk.commands, vocabulary, width))
    command = desk.commands.find(topic or "")
    act = next((one for one in vocabulary.acts if one.name == topic), None)
    if command is None and act is None:
        acts = [one.name for one in vocabulary.acts]
        raise UsageError(f"there is no command and no act `{topic}`{_hinted(desk.commands.nearest(topic or '', acts))}")

    def view(width: int) -> list[Line]:
        lines = list(views.command(command, width)) if command is not None else []
        return lines + (list(views.act(act, width)) if act is not None else [])

    data = {
        "command": None if command is None else {"usage": command.usage, "help": command.help},
        "act": act,
    }
    return Answer(data=data, view=view)


def _hinted(hint: str | None) -> str:
    return f" ({hint})" if hint else ""


async def editing(desk: Desk, keys: Literal["emacs", "vi"]) -> Answer:
    """Edit lines with the keys of Emacs, or of vi."""
    desk.prompt("editing")
    if desk.switch_editing is not None:
        desk.switch_editing(keys)
    return said(f"lines are edited with the keys of {keys}")


async def quit_(_desk: Desk) -> Answer:
    """Leave the console; if the run started it, the run ends.

    A console that was attached later leaves the run as it is, with its rules in force. Ctrl-D does the same.
    """
    raise LeaveError(0)


async def detach(desk: Desk) -> Answer:
    """Leave the console, and let the run go on."""
    raise LeaveError(DETACHED if desk.attached else 0)
