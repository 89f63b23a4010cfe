from __future__ import annotations

from typing import Any

import click
import pytest

from iscsiproxy.cli.repeat import given
from iscsiproxy.cli.test import command

__all__: list[str] = []


@pytest.mark.parametrize(
    ("args", "chosen", "options"),
    [
        ((), "", ""),
        (("a", "b.yaml", "-p", "x=1", "-p", "y=2"), "a b.yaml -p x=1 -p y=2", ""),
        (("-k", "not a", "--repeat", "3"), "-k,not a,--repeat,3", ""),
        (("--scratch", "--timeout", "5", "--no-check", "-x"), "", "--scratch --timeout 5 --no-check --stop-at-fail"),
        (("--known", "a", "--known", "b", "--profile", "rfc3720"), "", "--known a --known b --profile rfc3720"),
        (("--run-dir", "d", "--junit", "f", "--json", "-v", "--seed", "9"), "", ""),
        (("--target", "iscsi://me%secret@t/x", "--initiator", "cmd secret {url}"), "", ""),
    ],
)
def test_what_was_given_is_given_again(args: tuple[str, ...], chosen: str, options: str) -> None:
    found: list[Any] = []

    def heard(**_: Any) -> None:
        found.append(given(click.get_current_context(), target="T", initiator="I", seed=7))

    listener = click.Command("test", params=command.params, callback=heard)
    listener.main(list(args), standalone_mode=False)
    [(words, how)] = found
    assert words == tuple(chosen.split("," if "," in chosen else None))
    assert set(how) == {"--target", "T", "--initiator", "I", "--seed", "7", *options.split()}
    assert "secret" not in " ".join((*words, *how))
