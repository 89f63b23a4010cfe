"""What is written about a run while it lasts: its journal, and a capture of both legs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from iscsiproxy.capture import Capture
from iscsiproxy.journal import Journal
from iscsiproxy.proxy import Sink
from iscsiproxy.runs.plan import RunPlan

__all__ = ["Recording"]


class Recording:
    """The recorders of one run, as sinks of its events; to be used as a context, at whose end the files are whole.

    `files` are their paths by kind. `say` is told of what the disk did not take.
    """

    def __init__(self, plan: RunPlan, *, started: float, say: Callable[[str], None]) -> None:
        self.files: dict[str, str] = {}
        self.sinks: tuple[Sink, ...] = ()
        self._name = plan.name
        self._say = say
        self._stack = ExitStack()
        if plan.folder is None:
            return
        path = plan.folder / "journal.jsonl"
        journal = Journal(
            path,
            started=started,
            seed=plan.seed,
            maps=[str(plan.target.address)],
            scenarios=[plan.scenario.name],
            facts={
                "run": plan.name,
                "file": str(Path(plan.scenario.file).absolute()) if plan.scenario.file else "",
                "target": plan.target.spec.shown,
                "initiator": plan.initiator.shown,
                "params": dict(plan.scenario.params),
                "axes": dict(plan.scenario.axes),
            },
        )
        self._add("journal", str(path), journal)
        if plan.capture:
            path = plan.folder / "capture.pcapng"
            self._add("capture", str(path), Capture(path, started=started))

    def __repr__(self) -> str:
        return f"<Recording of {self._name}: {', '.join(self.files) or 'nothing'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits and close the files."""
        self._stack.close()

    def _add(self, what: str, path: str, recorder: Journal | Capture) -> None:
        self.files[what] = path
        self.sinks += (Sink(recorder, pdus=True),)
        self._stack.callback(self._close, what, recorder)

    def _close(self, what: str, recorder: Journal | Capture) -> None:
        recorder.close()
        if recorder.lost:
            why = recorder.failure or "the disk could not keep up"
            self._say(f"the {what} of {self._name} lacks {recorder.lost} records: {why}")
