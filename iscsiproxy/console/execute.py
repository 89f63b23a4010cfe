"""Do a line: find the command, give it its arguments; or arm the rule that the line is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from iscsiproxy.api.client import ApiError
from iscsiproxy.api.models import Problem
from iscsiproxy.console.answer import Answer
from iscsiproxy.console.arguments import Rest, bind
from iscsiproxy.console.command import Command
from iscsiproxy.console.commands.rules import rule_line
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.grammar import Word, has_moment, head_of
from iscsiproxy.console.lines import Line
from iscsiproxy.console.views.problems import problem as problem_lines
from iscsiproxy.errors import FileError, UsageError

__all__ = ["Outcome", "execute"]

#: What is no act, but makes a rule of a line
_HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a line: an answer, or the problem that it has.

    `shift` is to be added to the columns of the problem to come to places on the line; None: they are none of it.
    """

    text: str
    answer: Answer | None = None
    problem: Problem | None = None
    shift: int | None = None

    @property
    def failed(self) -> bool:
        """Whether it was not done, or came to nothing."""
        return self.answer is None or self.answer.failed

    def lines(self, width: int) -> list[Line]:
        """Give it as lines for people."""
        if self.problem is not None:
            return list(problem_lines(self.problem, self.text, self.shift, width))
        return [] if self.answer is None or self.answer.view is None else list(self.answer.view(width))

    def json(self) -> bytes:
        """Give it as one JSON object."""
        told: dict[str, Any] = {"command": self.text}
        if self.problem is not None:
            told["problem"] = self.problem
        elif self.answer is not None:
            told["answer"] = self.answer.data
        return msgspec.json.encode(told)


async def execute(desk: Desk, text: str) -> Outcome | None:
    """Do a line; nothing comes of an empty one. Raises Unreachable if the proxy has gone, LeaveError to leave."""
    text = text.strip()
    head = head_of(text)
    if head is None:
        return None
    values: dict[str, Any] = {}
    command: Command | None = None
    try:
        command = await _command(desk, head, text)
        if command is None:
            answer = await rule_line(desk, text, now=not has_moment(text, await desk.vocabulary()))
        else:
            values = bind(command.name, command.arguments, text, head.end)
            answer = await command.run(desk, **values)
    except ApiError as error:
        return Outcome(text=text, problem=error.problem, shift=_shift(command, values, text))
    except FileError as error:
        told = Problem(error="bad_request", message=error.message, hint=error.hint, line=1, column=error.column)
        return Outcome(text=text, problem=told, shift=0)
    except UsageError as error:
        return Outcome(text=text, problem=Problem(error="bad_request", message=str(error)))
    return Outcome(text=text, answer=answer)


async def _command(desk: Desk, head: Word, text: str) -> Command | None:
    """Give the command of a line; None if the line is a rule. Raises FileError if it is neither."""
    command = desk.commands.find(head.text)
    if command is not None and command.rule_if is None:
        return command
    vocabulary = await desk.vocabulary()
    if command is not None:
        return None if command.is_rule(text[head.end :], vocabulary) else command
    acts = [act.name for act in vocabulary.acts]
    if head.text in (*acts, _HOLD):
        return None
    hint = desk.commands.nearest(head.text, acts) or "`help` lists what there is"
    raise FileError(f"there is no command and no act `{head.text}`", column=head.start + 1, hint=hint)


def _shift(command: Command | None, values: dict[str, Any], text: str) -> int | None:
    """Tell how far into the line that was typed the part begins that the proxy got; None: it got none of it."""
    if command is None:
        return 0
    for argument in command.arguments:
        if isinstance(argument.kind, Rest) and argument.name in values:
            return text.rindex(values[argument.name])
    return None
