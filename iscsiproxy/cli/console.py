"""`iscsiproxy console`: watch and drive a running proxy, at a prompt or from a script."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import traceback
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import TextIO

import click

from iscsiproxy.errors import IscsiProxyError, UsageError

__all__ = ["command"]

_EPILOG = """\b
Examples:
  iscsiproxy console
  iscsiproxy console -e 'delay 200ms Data-In every 3' -e rules
  iscsiproxy console --json -e 'watch SCSI-Command count 10'
  iscsiproxy console 127.0.0.1:8080 --yes -f session.txt
"""
_CRASHED = 70


@click.command(name="console", epilog=_EPILOG)
@click.argument("address", metavar="[ADDR]", required=False)
@click.option("-e", "commands", multiple=True, metavar="CMD", help="Do a command and end; may be repeated.")
@click.option("-f", "file", type=click.File(encoding="utf-8", errors="replace"), metavar="FILE",
              help="Do the commands of a file, a line each; - is standard input.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an answer, and an event.")
@click.option("--keep-going", is_flag=True, help="Go on behind a command that failed.")
@click.option("--yes", is_flag=True, help="Do what may corrupt data, and write over files, without being asked.")
@click.option("--token", help="What an address of loopback asks for.  [default: $ISCSIPROXY_TOKEN]")
@click.option("--vi", is_flag=True, help="Edit lines with the keys of vi, not of Emacs.")
@click.option("--attached", is_flag=True, hidden=True)
def command(
    address: str | None,
    commands: tuple[str, ...],
    file: TextIO | None,
    as_json: bool,
    keep_going: bool,
    yes: bool,
    token: str | None,
    vi: bool,
    attached: bool,
) -> None:
    """Attach to a running proxy: ADDR is its socket, HOST:PORT or URL; without it the only one that runs here.

    On a terminal there is a prompt: `help` tells what it takes. With -e or -f, or with a pipe, commands are done one
    after another; the first that fails ends it. The exit code is 0, 1 for a command that failed or a proxy that has
    gone, 2 for bad usage or a proxy that cannot be reached.
    """
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    scripted = bool(commands or file is not None or not terminal)
    if as_json and not scripted:
        raise UsageError("--json needs commands: give -e, -f or a pipe")
    if scripted:
        sys.exit(asyncio.run(_batch(address, token, commands, file, as_json=as_json, keep_going=keep_going, yes=yes)))
    sys.exit(_prompt(address, token, vi=vi, yes=yes, attached=attached))


async def _batch(
    address: str | None,
    token: str | None,
    commands: Sequence[str],
    file: TextIO | None,
    *,
    as_json: bool,
    keep_going: bool,
    yes: bool,
) -> int:
    from iscsiproxy.api.client import AsyncClient
    from iscsiproxy.console.batch import Printed, Script, run_batch

    shown = sys.stdout.isatty()
    paper = Printed(
        sys.stdout,
        err=sys.stderr,
        as_json=as_json,
        colour=shown and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        width=shutil.get_terminal_size().columns if shown else 0,
    )
    async with AsyncClient(address, token=token) as api:
        return await run_batch(api, _lines(commands, file), paper, Script(yes=yes, keep_going=keep_going))


def _lines(commands: Sequence[str], file: TextIO | None) -> Iterable[str] | AsyncGenerator[str, None]:
    """Give the commands: all of them where they are known already, else as they come."""
    from iscsiproxy.console.batch import lines_of

    source = file if file is not None else None if commands else sys.stdin
    if source is None:
        return commands
    if stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        return [*commands, *source]
    return lines_of(source, commands)


def _prompt(address: str | None, token: str | None, *, vi: bool, yes: bool, attached: bool) -> int:
    from iscsiproxy.api.client import AsyncClient
    from iscsiproxy.console.prompt import Options, history_file, run_prompt
    from iscsiproxy.console.terminal import given_back

    try:
        history: Path | None = history_file()
    except OSError as error:
        click.echo(f"iscsiproxy: lines are not kept for the next time: {error}", err=True)
        history = None

    async def talk() -> int:
        async with AsyncClient(address, token=token) as api:
            return await run_prompt(api, Options(attached=attached, vi=vi, yes=yes, history=history))

    with given_back():
        try:
            return asyncio.run(talk())
        except IscsiProxyError:
            raise
        except Exception:  # noqa: BLE001 - an error of this program, told when the terminal is as it was
            crash = traceback.format_exc()
    click.echo(crash, err=True, nl=False)
    return _CRASHED
