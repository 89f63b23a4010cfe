"""`join`, a second connection of one session, is read and checked but cannot be run yet.

Its grammar is whole, so that a file is right or wrong whatever is built. What is missing is refused with its place in
the file before anything is armed.
"""

from __future__ import annotations

from iscsiproxy.language.problems import Problems, problem
from iscsiproxy.language.spec import Scenario

__all__ = ["check_joins"]


def check_joins(scenario: Scenario) -> None:
    """Make sure that no actor of a scenario joins a session.

    Raises FileError for the first step that does, with the others in its `others`.
    """
    problems = Problems()
    for step in scenario.actor:
        if step.params.get("join") is not None:
            message = "`join`, a second connection of one session, is part of the language but not built yet"
            problems.add(problem(message, step.position))
    problems.raise_if_any()
