"""The commands that do it again: all that was run, or one run of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from iscsiproxy.report.model import RunResult, SuiteResult

__all__ = ["Repeat"]

_PROGRAM = ("iscsiproxy", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """What was asked for: which scenarios (`chosen`), and how (`options`), the seed and the peers among them.

    `names` has the name of each scenario file that is known by its name. Without any of it, what the result says has
    to do. With a `replay`, the folder of a run of chaos, it is that which is done again; a `command` is given as it is.
    No secret may be in here.
    """

    chosen: Sequence[str] = ()
    options: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    replay: str = ""
    command: str = ""

    def all(self, result: SuiteResult) -> str:
        """Give the command for all of it."""
        if self.command:
            return self.command
        if self.replay:
            return shlex.join(("iscsiproxy", "replay", self.replay))
        if self.options:
            return shlex.join((*_PROGRAM, *self.chosen, *self.options))
        chosen = dict.fromkeys(self._scenario(run) for run in result.runs)
        return shlex.join((*_PROGRAM, *chosen, *self._options(result)))

    def one(self, run: RunResult, result: SuiteResult) -> str:
        """Give the command for one run: with the seed of the whole it is the same one again."""
        if self.command or self.replay:
            return self.all(result)
        settings = {**run.params, **run.axes}
        params = [word for name, value in settings.items() for word in ("-p", f"{name}={value}")]
        return shlex.join((*_PROGRAM, self._scenario(run), *params, *self._options(result)))

    def _scenario(self, run: RunResult) -> str:
        return self.names.get(run.file) or run.file or run.scenario

    def _options(self, result: SuiteResult) -> Sequence[str]:
        given = ("--target", result.target, "--initiator", result.initiator, "--seed", str(result.seed))
        return self.options or given
