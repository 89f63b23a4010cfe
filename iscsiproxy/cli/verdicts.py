"""The judge of a live run: findings are printed as they happen, and at the end what it all comes to."""

from __future__ import annotations

from collections.abc import Callable

import trio

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.known import Known
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.cli.screen import Screen
from iscsiproxy.journal import record_of
from iscsiproxy.report.judgement import finding_facts, finding_lines, judge_facts, judge_lines
from iscsiproxy.session.events import Event

__all__ = ["LiveJudge"]

#: How often it is told the time, in seconds: what did not come is noticed that late
_TICK = 0.5
#: How many findings of one kind on one connection are printed; all are counted
_SHOWN = 3


class LiveJudge:
    """A sink that wants PDUs. What breaks in it costs nobody a connection; it is told at the end."""

    def __init__(self, screen: Screen, *, profile: Profile, known: Known) -> None:
        self.judge = Judge(profile=profile, known=known, on_finding=self._show, kept=_SHOWN)
        #: Who else is told of what is printed.
        self.also: Callable[[Finding], None] | None = None
        self._screen = screen
        self._broken: Exception | None = None

    def __repr__(self) -> str:
        return f"<LiveJudge {self.judge!r}>"

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if self._broken is None:
            try:
                self.judge.take(record_of(event))
            except Exception as error:  # noqa: BLE001 - told at the end: the judge shall cost nobody a connection
                self._broken = error

    async def keep_time(self) -> None:
        """Tell the judge the time while nothing happens; runs until cancelled."""
        start = trio.current_time() - self.judge.now
        while True:
            await trio.sleep(_TICK)
            if self._broken is None:
                self.judge.tick(max(self.judge.now, trio.current_time() - start))

    def tell(self) -> int:
        """Say what it all came to; give the exit code that it asks for."""
        judge, screen = self.judge, self._screen
        if screen.as_json:
            screen.json({"event": "judged", **judge_facts(judge)})
        else:
            for line in judge_lines(judge):
                screen.line(line)
        if self._broken is not None:
            screen.warn(f"the judge broke: {self._broken!r}; what came after that was not judged")
            return 3
        return {"fail": 1, "inconclusive": 3}.get(judge.verdict, 0)

    def _show(self, finding: Finding) -> None:
        if finding.known or self.judge.count(finding) > _SHOWN:
            return
        if self.also is not None:
            self.also(finding)
        if self._screen.as_json:
            self._screen.json({"event": "finding", **finding_facts(finding)})
            return
        first, *proof = finding_lines(finding)
        self._screen.line(f"{finding.at:10.4f}s  conn {finding.conn:<3} {first}", fg="red", bold=True)
        for line in proof:
            self._screen.line(f"            {line}", dim=True)
