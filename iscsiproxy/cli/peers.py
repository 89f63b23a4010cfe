"""What the subcommands of the embedded peers have in common: quirks, accounts, and the nearest right name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import click

from iscsiproxy.errors import UsageError, meant
from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.deviation import Deviation

__all__ = ["Seconds", "choose_quirks", "list_quirks", "near", "parse_account"]


class Seconds(click.FloatRange):
    """A length of time; `nan` and `inf` are none."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it, or say what is wrong."""
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


def near(name: str, names: Iterable[str]) -> str:
    """Ask, in brackets, whether the nearest of the names was meant; nothing if none is near."""
    hint = meant(name, names, "")
    return f" ({hint})" if hint else ""


def choose_quirks(
    names: Iterable[str], quirks: Mapping[str, type[Deviation]], personalities: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Give the quirks that are meant, each once; a personality stands for all of its own.

    Raises UsageError for a name that nothing has.
    """
    found: dict[str, None] = {}
    for name in names:
        if name not in quirks and name not in personalities:
            hint = near(name, (*quirks, *personalities))
            raise UsageError(f"no quirk is called {name!r}{hint}; see --list-quirks")
        found.update(dict.fromkeys(personalities.get(name, (name,))))
    return tuple(found)


def list_quirks(quirks: Mapping[str, type[Deviation]], personalities: Mapping[str, tuple[str, ...]]) -> None:
    """Print what there is to choose from."""
    width = max(map(len, quirks))
    for name, quirk in quirks.items():
        click.echo(f"{name:{width}}  {quirk.summary()} ({quirk.clause})")
    for name, members in personalities.items():
        click.echo(f"{name}: {' '.join(members)}")


def parse_account(option: str, text: str) -> Account:
    """Read USER:SECRET. The error does not show what was given: it may be the secret."""
    name, colon, secret = text.partition(":")
    if not name or not colon or not secret:
        raise UsageError(f"{option}: expected USER:SECRET")
    return Account(name=name, secret=secret.encode())
