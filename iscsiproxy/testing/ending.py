"""The end of a run, in the test's own thread: good I/O of the test's, the files, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from iscsiproxy import __version__
from iscsiproxy.cli.explain import explain_records
from iscsiproxy.engine.explained import explanation_lines
from iscsiproxy.errors import IscsiProxyError, UsageError
from iscsiproxy.journal import read
from iscsiproxy.report.html.repeat import Repeat
from iscsiproxy.report.html.writer import write_report
from iscsiproxy.report.model import RunResult, SuiteResult
from iscsiproxy.report.result import run_json
from iscsiproxy.runs.driving import Behind
from iscsiproxy.runs.library import shipped
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.windows import text_of
from iscsiproxy.testing.verdict import Verdict

__all__ = ["done_by", "verdict_of"]

#: A journal that is longer is not gone through again to say why a rule has not fired, in bytes
_LONG: Final = 32 << 20
#: What good I/O behind the fault has to be
_AFTERMATHS: Final = {
    "recovers": "afterwards good I/O works again (aftermath: recovers)",
    "survives": "afterwards the connection that met the fault does good I/O (aftermath: survives)",
    "ends": "afterwards that connection is gone, and a new login works (aftermath: ends)",
}


def done_by(act: Callable[[], object]) -> Behind:
    """Have the test do its good I/O; it was good if nothing is raised."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - that is how a test says that it went wrong, and it is in the verdict
        return Behind(good=False, text=f"the aftermath raised {error!r}")
    return Behind(good=True, text="the aftermath went well")


def verdict_of(plan: RunPlan, result: RunResult, *, again: str = "", everything: bool = False) -> Verdict:
    """Give the verdict of a run, and write what belongs to its journal.

    That is `result.json`, and `report.html` of what is no pass, or of `everything`. `again` is what is to be typed to
    do the same once more.
    """
    scenario = plan.scenario
    hints = _hints(plan, result) if any(one.about == "rule" for one in result.reasons) else ()
    expected = [text_of(one) for one in scenario.expect]
    expected += [_AFTERMATHS[scenario.aftermath]] if scenario.aftermath in _AFTERMATHS else []
    if plan.folder is not None:
        if everything or result.verdict != "pass":
            result = _reported(plan, result, again)
        try:
            (plan.folder / "result.json").write_text(run_json(result), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {plan.folder / 'result.json'}: {error.strerror}") from error
    return Verdict(result=result, expected=tuple(expected), hints=tuple(hints))


def _reported(plan: RunPlan, result: RunResult, again: str) -> RunResult:
    assert plan.folder is not None
    suite = SuiteResult(
        runs=(result,),
        target=plan.target.spec.shown,
        initiator=plan.initiator.shown,
        seed=plan.seed,
        program=f"iscsiproxy {__version__}",
        started=result.started,
        seconds=result.seconds,
        asked=1,
    )
    repeat = Repeat(command=again, names={str(path): name for name, path in shipped().items()})
    path = write_report(suite, plan.folder, repeat=repeat)
    return replace(result, files={**result.files, "report": str(path)})


def _hints(plan: RunPlan, result: RunResult) -> list[str]:
    """Say why rules have not fired, as `iscsiproxy explain` does."""
    journal = plan.folder / "journal.jsonl" if plan.folder is not None else None
    if journal is None or not journal.is_file() or journal.stat().st_size > _LONG:
        return []
    fired = {count.rule for count in result.rules if count.fired}
    try:
        with read(journal) as reader:
            explainer = explain_records(reader, [plan.scenario], seed=plan.seed)
    except IscsiProxyError as error:
        return [f"the journal cannot be read: {error}"]
    found = [one for one in explainer.explanations() if one.rule not in fired and not one.optional]
    return [line for one in found for line in explanation_lines(one)]
