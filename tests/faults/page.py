"""The page of the shipped scenarios: what each does, and what tgt, libiscsi and QEMU were expected and seen to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import every, groups, shipped
from tests.real.library import ENTRIES, Entry

__all__ = ["PAGE", "page", "subjects"]

PAGE = Path(__file__).resolve().parents[2] / "faults" / "SCENARIOS.md"
_HEAD = """# The scenarios

{count} scenarios in {groups} groups, and what real peers do in them: tgt 1.0.85 as the target (the victim, or behind
the victim), libiscsi 1.19 and QEMU 7.2 as initiators. The first verdict of a line is the one that was expected from the
standard and a trace of the exchange before the scenario was run, the second is that of `iscsiproxy test`; a part of
what it shows for it stands behind. This page is made by `python -m tests.faults`; `tests/real` has a test a line.

`iscsiproxy faults show NAME` explains the clause in plain words and shows the file; `iscsiproxy test GROUP` runs a
group, `iscsiproxy test -k W12a` what stands for a row of the catalogue.
"""


def subjects() -> Mapping[str, str]:
    """Say of each group what it is about."""
    return {group: _subject(group) for group in groups()}


def _subject(group: str) -> str:
    doc = import_module(f"tests.faults.{group}").__doc__ or ""
    return doc.strip().removesuffix(".")


def page() -> str:
    """Give the whole page, as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    entries: dict[str, list[Entry]] = {}
    for entry in ENTRIES:
        entries.setdefault(entry.name, []).append(entry)
    yield _HEAD.format(count=len(shipped()), groups=len(groups()))
    yield "| group | scenarios | what they are about |\n|---|---|---|"
    for group, subject in subjects().items():
        yield f"| [{group}](#{group}) | {len(groups()[group])} | {subject} |"
    for group, subject in subjects().items():
        yield f"\n## {group}\n\n{subject}."
        for name in groups()[group]:
            yield from _scenario(every([str(shipped()[name])], {})[0], entries.get(name, []))


def _scenario(scenario: Scenario, entries: Sequence[Entry]) -> Iterator[str]:
    rows = f" ({', '.join(scenario.covers)})" if scenario.covers else ""
    yield f"\n**`{scenario.name}`**{rows}, victim: {scenario.victim}. {scenario.title}.\n"
    for entry in entries:
        run = entry.run.removeprefix(entry.name)
        with_ = f"{run} with {entry.initiator}".strip()
        shown = " or ".join(f"`{one.replace('`', '')}`" for one in entry.evidence)
        yield f"- {with_}: **{entry.expected}**, and it is **{' or '.join(entry.verdicts)}**: {shown}"
        yield f"  <br>{entry.because}{f' {entry.why}' if entry.why else ''}"
