"""`iscsiproxy demo`: see it at work, with nothing to install and nothing to set up."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from iscsiproxy.runs.demo import Clean, Played
    from iscsiproxy.runs.ladder import Rung

__all__ = ["command"]

#: What a rung says less of: the ladder is about one task of one connection.
_SAID = ("ITT=", "TTT=", "LUN=", "CmdSN=", "StatSN=", "ISID=", "ResidualCount=")
_MILLI = 1000.0


@click.command(name="demo")
@click.option("--seed", type=int, help="Repeat a demonstration's random choices.  [default: a fresh one, printed]")
@click.option("--json", "as_json", is_flag=True, help="Print what happened as JSON lines.")
def command(seed: int | None, as_json: bool) -> None:
    """See clean traffic and three faults between an initiator and a target of our own, all on loopback.

    Everything shown happens while you watch. Ends with 0 if all of it was as it should be, with 1 if not.
    """
    import trio

    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    show: _Json | _Show = _Json() if as_json else _Show()
    sys.exit(trio.run(_until_asked, seed, show))


async def _until_asked(seed: int, show: _Json | _Show) -> int:
    """Perform until the end, or until a signal comes; give the exit status."""
    import trio

    status = 0
    async with trio.open_nursery() as nursery:

        async def obey(*, task_status: trio.TaskStatus[None]) -> None:
            nonlocal status
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    status = 128 + number
                    nursery.cancel_scope.cancel()

        await nursery.start(obey)
        try:
            status = 0 if await _perform(seed, show) else 1
        except trio.TooSlowError:
            status = 1
            click.echo("iscsiproxy: a part of it took too long and was given up: is this machine busy?", err=True)
        nursery.cancel_scope.cancel()
    return status


async def _perform(seed: int, show: _Json | _Show) -> bool:
    from iscsiproxy.runs.demo import ACTS, clean, play

    show.begin(seed)
    before = await clean(seed)
    show.clean(before)
    fine = before.passed
    names = list(dict.fromkeys(act.scenario for act in ACTS))
    for act in ACTS:
        played = await play(act, seed)
        show.act(names.index(act.scenario) + 1, len(names), played)
        fine = fine and played.as_expected
    show.end(fine)
    return fine


class _Json:
    """One object a line, for programs."""

    def begin(self, seed: int) -> None:
        self._print({"event": "demo", "seed": seed})

    def clean(self, found: Clean) -> None:
        import msgspec

        facts = {"keys": dict(found.keys), "pdus": found.pdus, "untouched": found.untouched, "passed": found.passed}
        self._print({"event": "clean", **facts, "report": msgspec.to_builtins(found.report)})

    def act(self, number: int, count: int, played: Played) -> None:
        fired = played.fired
        self._print(
            {
                "event": "act",
                "scenario": played.scenario.name,
                "quirks": list(played.act.quirks),
                "fired": None if fired is None else {"act": fired.act, "pdu": fired.label, "text": fired.text},
                "saw": [list(one) for one in played.saw],
                "fine": played.as_expected,
            }
        )

    def end(self, fine: bool) -> None:
        self._print({"event": "end", "fine": fine})

    def _print(self, facts: dict[str, Any]) -> None:
        import json

        click.echo(json.dumps(facts, ensure_ascii=False))


class _Show:
    """For people: colour where there is any, and nothing that only colour says."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console: Console = Console(highlight=False)
        self._seed = 0

    def begin(self, seed: int) -> None:
        from rich.panel import Panel

        self._seed = seed
        self._console.print(
            Panel(
                "[bold]initiator[/]  ◀──────▶  [bold yellow]iscsiproxy[/]  ◀──────▶  [bold]target[/]\n"
                "[dim]both ends are our own, the wire is real: TCP on loopback, both digests on[/]",
                title="[bold]iscsiproxy demo[/]",
                width=min(self._console.width, 96),
            )
        )

    def clean(self, found: Clean) -> None:
        report = found.report
        moved = report.reads.bytes + report.writes.bytes
        read, write = report.reads.latency, report.writes.latency
        self._title("Clean traffic", f"nothing is armed; seed {self._seed}")
        self._facts(
            ("negotiated", ", ".join(f"{key}={value}" for key, value in found.keys)),
            ("I/O", f"{report.commands} commands, {moved / 1e6:.1f} MB in {report.seconds:.2f} s, 8 at a time"),
            (
                "latency",
                f"reads p50 {_ms(read.p50)} p99 {_ms(read.p99)}, writes p50 {_ms(write.p50)} p99 {_ms(write.p99)}",
            ),
            ("the wire", f"{found.pdus} PDUs came in, {found.untouched} of them went on byte for byte"),
            ("the disk", f"{report.blocks_verified} blocks compared, {report.mismatch_count} wrong"),
        )
        self._verdict(found.passed, "clean", "not clean: what follows proves little")

    def act(self, number: int, count: int, played: Played) -> None:
        from rich.padding import Padding

        scenario, fired = played.scenario, played.fired
        again = ", again" if played.act.quirks else ""
        self._title(f"Fault {number} of {count}{again}", f"{scenario.name}: {scenario.title}")
        self._console.print(Padding(_plain(played.act.asked, "italic"), (0, 2, 1, 2)))
        if fired is None:
            self._verdict(False, "", "the fault never met its PDU: nothing was shown")
            return
        self._ladder(played.rungs)
        changes = "; ".join(map(str, fired.changes))
        # A part that was changed in several places is shown from the first of them on.
        first = "first " if "+" in changes else ""
        done = f"{fired.text} ({first}{changes})" if changes else fired.text
        self._console.print()
        self._facts(("the fault", f"{fired.act}: {done}"), *played.saw)
        if not played.as_expected:
            self._verdict(False, "", "not what was to be seen here")

    def end(self, fine: bool) -> None:
        from rich.padding import Padding

        if not fine:
            self._console.print()
            self._verdict(False, "", "not all of it was as it should be")
        self._title("Now you", "")
        for line, what in (
            ("iscsiproxy faults", "what else it can break; `faults show NAME` explains the clause in plain words"),
            ("iscsiproxy run --listen :3261 --target HOST:3260 --faults NAME", "between your own initiator and target"),
            ("iscsiproxy target --quirk W12", "a target that gets one thing wrong, for an initiator of yours"),
            ("iscsiproxy initiator io URL --scratch", "a load that verifies every block, for a target of yours"),
        ):
            self._console.print(f"  [bold]$ {line}[/]")
            self._console.print(Padding(_plain(what, "dim"), (0, 2, 0, 6)))

    # --- its parts ------------------------------------------------------------------------------------------------

    def _title(self, head: str, text: str) -> None:
        from rich.padding import Padding
        from rich.text import Text

        self._console.print()
        self._console.rule(characters="─", style="dim")
        title = Text.assemble((head, "bold"), "  ", text) if text else Text(head, style="bold")
        self._console.print(Padding(title, (0, 1, 0, 1), expand=False))

    def _facts(self, *rows: tuple[str, str]) -> None:
        from rich.table import Table

        table = Table.grid(padding=(0, 2), pad_edge=True)
        table.add_column(style="dim", no_wrap=True, min_width=13)
        table.add_column(ratio=1)
        last = ""
        for name, text in rows:
            table.add_row("" if name == last else name, _plain(text))
            last = name
        self._console.print(table)

    def _verdict(self, good: bool, yes: str, no: str) -> None:
        self._console.print(f"  [bold green]✓ {yes}[/]" if good else f"  [bold red]✗ {no}[/]")

    def _ladder(self, rungs: Sequence[Rung]) -> None:
        from iscsiproxy.cli.rungs import HEAD, folded

        self._line(HEAD, "dim")
        for lanes, text, style in folded(rungs, without=_SAID):
            self._line(f"{lanes}  {text}", style)

    def _line(self, text: str, style: str) -> None:
        self._console.print(_plain(text, style), no_wrap=True, overflow="ellipsis", crop=True)


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * _MILLI:.1f} ms"


def _plain(text: str, style: str = "") -> Any:
    """Keep brackets in what peers said from being taken for markup."""
    from rich.text import Text

    return Text(text, style=style)
