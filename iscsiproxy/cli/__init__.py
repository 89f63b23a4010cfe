"""The command line: one module a subcommand, loaded when it is called.

This room wires the others together. Exit codes: 0 done, 1 a command's own kind of failure, 2 bad usage or file, 3 a
fault that never fired, 70 an error of this program.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from iscsiproxy import __version__
from iscsiproxy.cli.plain import make_printable
from iscsiproxy.errors import IscsiProxyError, UserError, meant

__all__ = ["main"]

#: Each subcommand and what it is for; its module is only imported to run it.
_COMMANDS = {
    "demo": "See it at work, with nothing to install or to set up.",
    "run": "Put the proxy between an initiator and a target.",
    "console": "Attach to a running proxy, and watch and drive it.",
    "test": "Run scenarios and judge what both ends do.",
    "chaos": "Let storms of faults pass over both ends, and judge them.",
    "replay": "Do a run of chaos again, fault by fault.",
    "target": "Be an iSCSI target, conforming or with the deviations of a real one.",
    "initiator": "Be an iSCSI initiator: discover, look, and write and read with verification.",
    "faults": "List, show and check scenario files.",
    "check": "Judge a journal or a packet capture by the standards.",
    "diff": "Tell what changed between two calls of test.",
    "explain": "Say why a rule did or did not fire.",
    "schema": "Print the JSON Schema of scenario files, or of result.json.",
    "decode": "Print raw bytes or hex as readable PDUs.",
    "doctor": "Say which real peers and tools are here, and what is missing for what.",
}


#: What the machine has no room for: told without a traceback.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE})


class _Commands(click.Group):
    """A group that imports a subcommand when it is needed."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BaseExceptionGroup) as raised:
            # Imports and the teardown of nurseries can be interrupted too.
            error = _only(raised)
            if isinstance(error, KeyboardInterrupt):
                ctx.exit(128 + signal.SIGINT)
            if isinstance(error, SystemExit | BrokenPipeError):
                # Who read this has read enough: click and rich know how to end then, outside of nurseries.
                raise error from None
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"iscsiproxy.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if hint := meant(args[0], _COMMANDS, ""):
                raise click.UsageError(f"{error.message} {hint[:1].upper()}{hint[1:]}", ctx) from None
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="iscsiproxy")
def _cli() -> None:
    """Break iSCSI on purpose, exactly, between a real initiator and a real target."""


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        make_printable(stream)
    try:
        _cli.main(prog_name="iscsiproxy", standalone_mode=True)
    except (IscsiProxyError, OSError, ExceptionGroup) as raised:
        error = _only(raised)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            click.echo(f"iscsiproxy: {error.strerror}", err=True)
            _drop_output()
            sys.exit(1)
        if not isinstance(error, IscsiProxyError):
            raise
        internal = not isinstance(error, UserError)
        for one in (error, *getattr(error, "others", ())):
            click.echo(f"iscsiproxy: {'internal error: ' if internal else ''}{one}", err=True)
        sys.exit(70 if internal else 2)


def _drop_output() -> None:
    """Write to nowhere what is still to be printed, or the interpreter fails at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _only(error: BaseException) -> BaseException:
    """Unwrap what a nursery has wrapped."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
