"""The words of a command line that do the same again: as they were given, but without files to write, and no secret."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.core import ParameterSource

__all__ = ["given"]

#: What becomes of the output, and what is told in another way
_LEFT_OUT = frozenset({"target", "initiator", "seed", "run_dir", "junit_file", "as_json", "verbose", "listing"})
#: What chooses the runs
_CHOICES = frozenset({"params", "choice", "repeat"})


def given(ctx: click.Context, *, target: str, initiator: str, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the words that chose the runs, and those that said how to do them.

    `target` and `initiator` are as they may be shown: a URL may have had a password in it.
    """
    chosen: list[str] = []
    options: list[str] = []
    for param in ctx.command.params:
        name = param.name or ""
        if name in _LEFT_OUT or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        words = chosen if isinstance(param, click.Argument) or name in _CHOICES else options
        words += _words(param, ctx.params[name])
    return tuple(chosen), ("--target", target, "--initiator", initiator, *options, "--seed", str(seed))


def _words(param: click.Parameter, value: object) -> Sequence[str]:
    if isinstance(param, click.Argument):
        return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]
    assert isinstance(param, click.Option)
    word = max(param.opts, key=len)
    if param.is_flag:
        return [word if value else max(param.secondary_opts, key=len)]
    values = value if param.multiple and isinstance(value, tuple) else (value,)
    return [part for one in values for part in (word, f"{one:g}" if isinstance(one, float) else str(one))]
