"""What people are told of a load: how far it is, and what came of it."""

from __future__ import annotations

import shutil

import click

from iscsiproxy.cli.screen import Screen
from iscsiproxy.peers.workload.tally import KindReport, Progress, WorkloadReport

__all__ = ["print_report", "show_progress"]


def show_progress(progress: Progress) -> None:
    """Draw how far it is over what was drawn last, on stderr."""
    rate = progress.commands / progress.seconds if progress.seconds > 0 else 0
    state = "reading back" if progress.reading_back else f"{rate:.0f} IOPS"
    line = (
        f"{progress.seconds:6.1f} s  {progress.mismatches} wrong  {_count(progress.errors, 'error')}  "
        f"{_count(progress.commands, 'command')}  {_bytes(progress.bytes)}  {state}  {progress.in_flight} in flight"
    )
    # A line that is wrapped cannot be drawn over.
    room = shutil.get_terminal_size().columns - 1
    click.echo(f"\r{line[:room]}\033[K", nl=False, err=True)


def _count(number: int, what: str) -> str:
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}{'es' if what.endswith('sh') else 's'}"
    return f"{number} {what if number == 1 else many}"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def print_report(report: WorkloadReport, screen: Screen) -> None:
    """Print what came of it."""

    def kind(name: str, one: KindReport) -> None:
        if one.commands:
            late = one.latency
            figures = ", ".join(
                f"{label} {seconds * 1000:.2f}"
                for label, seconds in (
                    ("p50", late.p50),
                    ("p90", late.p90),
                    ("p99", late.p99),
                    ("p99.9", late.p999),
                    ("max", late.max),
                )
            )
            screen.line(f"{_count(one.commands, name)}, {_bytes(one.bytes)}; ms: {figures}")

    kind("read", report.reads)
    kind("write", report.writes)
    kind("flush", report.flushes)
    screen.line(
        f"{_count(report.commands, 'command')} in {report.seconds:.2f} s: {report.iops:.0f} IOPS, "
        f"{_bytes(report.bytes_per_second)}/s; longest stall {report.longest_stall:.3f} s"
    )
    back = "" if report.read_back is None else f", {report.read_back} of them read back at the end"
    screen.line(
        f"{_count(report.blocks_verified, 'block')} verified{back}; {_count(report.uncertain, 'write')} uncertain"
    )
    screen.line(
        f"{_count(report.unit_attentions, 'unit attention')}, {_count(report.busy, 'time')} busy, "
        f"{_count(report.recoveries, 'recovery')}"
    )
    for text, count in report.errors.items():
        screen.line(f"{_count(count, 'time')} {text}", fg="red")
    if report.lost is not None:
        screen.line(f"session lost: {report.lost}", fg="red")
    for mismatch in report.mismatches:
        screen.line(str(mismatch), fg="red")
    if (more := report.mismatch_count - len(report.mismatches)) > 0:
        screen.line(f"and {more} more", fg="red")
    outcome = f"{_count(report.mismatch_count, 'block')} wrong"
    if report.passed:
        outcome = "everything as it should be"
    elif not report.mismatch_count:
        outcome = "no block was found wrong, but not all went well"
    screen.line(f"{report.ended}: {outcome}", fg="green" if report.passed else "red")
