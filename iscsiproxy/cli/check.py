"""`iscsiproxy check`: judge what was recorded earlier, by a journal or by anybody's packet capture."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iscsiproxy.checks.catalogue import FAMILIES
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.known import Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.checks.reference import reference
from iscsiproxy.cli.judging import known_lists
from iscsiproxy.errors import UsageError
from iscsiproxy.journal import Reader, read
from iscsiproxy.report.judgement import finding_facts, finding_lines, judge_facts, judge_lines, rules_facts

if TYPE_CHECKING:
    from iscsiproxy.capture import CaptureReader

__all__ = ["command"]

#: How a packet capture begins: pcap in both byte orders, with microseconds or nanoseconds, and pcapng
_CAPTURES = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
#: How often a terminal is told, in events
_SHOW_EVERY = 2000
_GZIP = b"\x1f\x8b"
_EXIT = {"pass": 0, "warn": 0, "fail": 1, "inconclusive": 3, "skipped": 3}

_EPILOG = """\b
Exit codes: 0 nothing was found, or only warnings; 1 a MUST was broken (with --fail-on warn: anything was found);
2 bad usage, or a file that cannot be read; 3 nothing was judged, events are missing, or a check broke.
\b
Examples:
  iscsiproxy check journal.jsonl
  tcpdump -i eth0 -w trace.pcap port 3260 && iscsiproxy check trace.pcap
  iscsiproxy check trace.pcapng --known tgt-1.0.85 --json
  iscsiproxy check --list
"""


@click.command(name="check", epilog=_EPILOG)
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--profile", type=click.Choice([str(one) for one in Profile]), default=str(DEFAULT), show_default=True,
              help="The standard that both ends are held to.")  # fmt: skip
@click.option("--known", multiple=True, metavar="FILE|NAME", help="A list of accepted deviations; may be repeated.")
@click.option("--port", "ports", type=click.IntRange(1, 65535), multiple=True,
              help="A target's port, for captures that begin in the middle; may be repeated.")  # fmt: skip
@click.option("--end", "ends", type=click.Choice(["initiator", "target"]), multiple=True, help="Judge this end only.")
@click.option("--fail-on", type=click.Choice(["fail", "warn"]), default="fail", show_default=True,
              help="What makes the exit code 1.")  # fmt: skip
@click.option("--list", "list_", is_flag=True, help="List all rules, and exit.")
@click.option("--reference", "as_reference", is_flag=True, help="Print all rules as a page (Markdown), and exit.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding or rule, and one at the end.")
@click.option("-v", "--verbose", is_flag=True, help="Show known deviations too, and how often each rule had evidence.")
def command(
    file: Path | None,
    profile: str,
    known: tuple[str, ...],
    ports: tuple[int, ...],
    ends: tuple[str, ...],
    fail_on: str,
    list_: bool,
    as_reference: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Judge FILE, a journal of this program or a packet capture (pcap, pcapng) of anybody's.

    Each finding has its rule, clause and blame, and the events that prove it.
    """
    if as_reference:
        click.echo(reference(), nl=False)
    elif list_:
        _list(as_json=as_json)
    elif file is None:
        raise click.UsageError("Missing argument 'FILE': a journal or a packet capture (or give --list).")
    else:
        from iscsiproxy.wire.opcodes import End

        judge = Judge(
            profile=Profile(profile),
            known=Known(known_lists(known)),
            ends=tuple(End(one) for one in ends) or tuple(End),
        )
        source = _opened(file, ports)
        with _progress(file) as progress:
            for record in source:
                judge.take(record)
                progress(judge)
        _tell(judge, _oddities(source), as_json=as_json, verbose=verbose)
        code = _EXIT[judge.verdict]
        sys.exit(1 if fail_on == "warn" and judge.verdict == "warn" else code)


def _list(*, as_json: bool) -> None:
    for facts in rules_facts():
        if as_json:
            click.echo(json.dumps(facts))
    if as_json:
        return
    for family in FAMILIES:
        click.secho(family.title, bold=True)
        for rule in sorted(family.rules, key=lambda one: one.id):
            click.echo(f"  {rule.id}  {rule.severity!s:9} {rule.title} ({rule.clause})")


def _opened(file: Path, ports: Sequence[int]) -> Reader | CaptureReader:
    """Open a file as what it is."""
    try:
        with file.open("rb") as opened:
            head = opened.read(4)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    if head in _CAPTURES or head[:2] == _GZIP:
        from iscsiproxy.capture import read_capture

        return read_capture(file, ports=ports)
    return read(file)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[Judge], object]]:
    """Show on a terminal how far it is; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield id
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status(f"{file.name}") as status:

        def show(judge: Judge) -> None:
            if judge.records % _SHOW_EVERY == 0:
                found = sum(judge.counts.values())
                status.update(f"{file.name}: {judge.records} events, {judge.now:.1f} s, {found} findings")

        yield show


def _oddities(source: Reader | CaptureReader) -> tuple[str, ...]:
    """Say what was odd about the file itself."""
    if isinstance(source, Reader):
        return (f"{source.name} was cut: its last line is not complete",) if source.truncated else ()
    return source.warnings


def _tell(judge: Judge, oddities: Sequence[str], *, as_json: bool, verbose: bool) -> None:
    for text in oddities:
        if as_json:
            click.echo(json.dumps({"event": "warning", "text": text}, ensure_ascii=False))
        else:
            click.echo(f"iscsiproxy: {text}", err=True)
    for finding in judge.findings:
        if as_json:
            click.echo(json.dumps({"event": "finding", **finding_facts(finding)}, ensure_ascii=False))
        elif verbose or not finding.known:
            for line in finding_lines(finding):
                click.echo(line)
    facts: dict[str, Any] = {"event": "judged", **judge_facts(judge)}
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    if judge.findings:
        click.echo()
    for line in judge_lines(judge):
        click.echo(line)
    if verbose:
        for rule, count in judge.evidence.items():
            click.echo(f"  {rule} was seen {count} times")
