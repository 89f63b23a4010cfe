"""Make the report of a run directory anew, out of the result and the journals that were kept in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from iscsiproxy.report.form import read_result
from iscsiproxy.report.html.repeat import Repeat
from iscsiproxy.report.html.writer import write_report
from iscsiproxy.report.model import RunResult, SuiteResult

__all__ = ["remake"]


def remake(folder: Path, *, repeat: Repeat | None = None) -> Path:
    """Write `report.html` into a run directory, wherever that is now, and give its path.

    Raises UsageError, FileError if there is no `result.json` of a suite, or the report cannot be written.
    """
    form = read_result(folder)
    result = msgspec.convert(msgspec.to_builtins(form), SuiteResult)
    runs = tuple(replace(run, files=_found(run, folder)) for run in result.runs)
    # What counted as a failure is known by the exit code alone.
    fail_on_warn = form.exit == 1 and not result.count()["fail"]
    return write_report(replace(result, runs=runs), folder, repeat=repeat, fail_on_warn=fail_on_warn)


def _found(run: RunResult, folder: Path) -> Mapping[str, str]:
    """Find the files of a run where they are now: below `folder`, if it was moved."""
    found = {}
    for kind, name in run.files.items():
        path = Path(name)
        moved = folder / path.parent.name / path.name
        found[kind] = str(moved if moved.exists() else path)
    return found
