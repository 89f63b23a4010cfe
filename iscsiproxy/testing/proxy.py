"""A proxy for plain tests: it lives in a thread of its own, and everything here simply waits for it.

    with Proxy("iscsi://storage:3260/iqn.2004-01.com.example:disk/1", scratch=True) as proxy:
        with proxy.armed("scsi_response_lost") as run:
            subprocess.run(["my-initiator", proxy.url], check=True)
        assert run.verdict.passed

The address stays the same from the first to the last line. A session ends where a block begins and where it ends: each
fault meets a session of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from iscsiproxy.errors import InternalError, UsageError, UserError
from iscsiproxy.testing.run import Run
from iscsiproxy.testing.settings import Settings

if TYPE_CHECKING:
    from iscsiproxy.report.model import Finding, RunResult
    from iscsiproxy.runs.plan import RunPlan
    from iscsiproxy.runs.targets import Target
    from iscsiproxy.testing.backstage import Backstage

__all__ = ["Proxy"]

#: What does good I/O behind a fault
Aftermath = Callable[[], object]
#: How long a run may go on behind its block until all is decided, in seconds
_TIMEOUT: Final = 120.0


class Proxy:
    """A proxy before a target; to be used as a context.

    The keyword arguments are those of `Settings`. Raises, when it is entered, UserError for what is wrong with them and
    PeerError for a target that cannot be had; at the end, what went wrong behind the test.
    """

    def __init__(
        self,
        target: str = "embedded",
        *,
        scratch: bool = False,
        listen: str = "127.0.0.1:0",
        seed: int | None = None,
        known: str | Iterable[str] = (),
        check: bool = True,
        profile: str | None = None,
        folder: Path | None = None,
        everything: bool = False,
    ) -> None:
        given = {} if seed is None else {"seed": seed}
        self.settings = Settings(
            target=target,
            scratch=scratch,
            listen=listen,
            known=(known,) if isinstance(known, str) else tuple(known),
            check=check,
            profile=profile,
            folder=folder,
            everything=everything,
            **given,
        )
        #: The runs so far, in their order
        self.runs: list[Run] = []
        self.again = ""  #: what is to be typed to do the same again, for reports
        self._behind: Backstage | None = None
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"<Proxy {self._behind or 'not entered'}>"

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        # It costs a quarter of a second, and is no business of those who never get here.
        from iscsiproxy.testing.backstage import Backstage

        backstage = Backstage(self.settings)
        with ExitStack() as stack:
            stack.callback(backstage.close)
            backstage.start()
            self._stack = stack.pop_all()
        self._behind = backstage
        return self

    def __exit__(self, *_: object) -> None:
        """End everything that was begun, in bounded time."""
        self._stack.close()

    # --- where it is -------------------------------------------------------------------------------------------------

    @property
    def _backstage(self) -> Backstage:
        if self._behind is None:
            raise UsageError("the proxy is to be used as a context: with Proxy(…) as proxy")
        return self._behind

    @property
    def _target(self) -> Target:
        target = self._backstage.target
        assert target is not None
        return target

    @property
    def portal(self) -> str:
        """Where initiators are to come: `host:port`."""
        return str(self._backstage.portal)

    @property
    def host(self) -> str:
        """The host of the portal."""
        portal = self._backstage.portal
        assert portal is not None
        return portal.host

    @property
    def port(self) -> int:
        """The port of the portal."""
        portal = self._backstage.portal
        assert portal is not None
        return portal.port

    @property
    def iqn(self) -> str:
        """The name of the target."""
        return self._target.name or ""

    @property
    def lun(self) -> int:
        """The first disk that is to be used."""
        return self._target.lun or 0

    @property
    def url(self) -> str:
        """Where the disk is: `iscsi://portal/iqn/lun`; with the user and password that the target was given with."""
        from iscsiproxy.runs.initiators import filled

        portal, target = self._backstage.portal, self._target
        assert portal is not None
        credentials = target.spec.credentials
        return filled(["{url}"], portal=portal, name=target.name, lun=target.lun, credentials=credentials)[0]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What speaks against either end of what was done while nothing was armed, the worst first."""
        return self._backstage.findings()

    @property
    def said(self) -> tuple[str, ...]:
        """What else was said: of a disk that could not keep up, and the like."""
        return tuple(self._backstage.said)

    # --- what it does ------------------------------------------------------------------------------------------------

    @contextmanager
    def armed(
        self,
        scenario: str | Path,
        *,
        params: Mapping[str, object] | None = None,
        aftermath: Aftermath | Literal["none"] | None = None,
        timeout: float = _TIMEOUT,
    ) -> Iterator[Run]:
        """Have a scenario in force in the block, and judge at its end, as `iscsiproxy test` does.

        `scenario` is the name of one that ships, a file, the text of one, or a line of the console. Its rules have come
        into force when the block begins, over sessions that are made in it, and have until its end to fire. What is
        decided behind the block is waited for, at most `timeout` seconds.

        Good I/O behind the fault is shown by a command that the block has sent when every rule had fired, or by
        `aftermath`: that is called when the fault has been cleared, and once more, over a new session, if it raises.
        With "none" nobody asks for it. An exception in the block ends the run as it is, and goes on.

        Raises UsageError, and FileError for a scenario that is wrong.
        """
        from iscsiproxy.testing.ending import done_by

        __tracebackhide__ = True
        if not (aftermath in (None, "none") or callable(aftermath)):
            raise UsageError(f'aftermath: expected a function or "none", got {aftermath!r}')
        backstage = self._backstage
        plan = self._plan(scenario, params, aftermath=aftermath, timeout=timeout)
        run = Run(backstage, plan.name, plan.folder)
        act = aftermath if callable(aftermath) else None
        try:
            backstage.call(lambda: backstage.arm(plan, aftermath=act is not None))
            self.runs.append(run)
            yield run
            step = backstage.call(backstage.end_block)
            while isinstance(step, bool):
                assert act is not None
                step = backstage.call(backstage.did, done_by(act))
        except BaseException:
            # What has happened goes on, but the run ends first. An error in the thread is raised when that ends.
            with suppress(InternalError):
                result = backstage.call(backstage.abort, plan)
                if result is not None:
                    self._judged(run, plan, result)
            raise
        self._judged(run, plan, step)

    def test(
        self,
        scenario: str | Path,
        *,
        params: Mapping[str, object] | None = None,
        initiator: str = "embedded",
        timeout: float = _TIMEOUT,
    ) -> Run:
        """Do a whole run, and judge it: clean I/O, the fault, good I/O, as `iscsiproxy test SCENARIO` does.

        `initiator` is what `--initiator` takes; `timeout` bounds it up to the end of the fault. The rest is as for
        `armed`.
        """
        __tracebackhide__ = True
        backstage = self._backstage
        plan = self._plan(scenario, params, initiator=initiator, timeout=timeout)
        run = Run(backstage, plan.name, plan.folder)
        try:
            result = backstage.call(backstage.play, plan)
        except BaseException:
            with suppress(InternalError):
                backstage.call(backstage.abort, plan)
            raise
        self.runs.append(run)
        self._judged(run, plan, result)
        return run

    def _plan(
        self,
        what: str | Path,
        params: Mapping[str, object] | None,
        *,
        timeout: float,
        initiator: str = "",
        aftermath: Aftermath | str | None = None,
    ) -> RunPlan:
        from iscsiproxy.runs.selection import run_name
        from iscsiproxy.runs.suite import seed_of
        from iscsiproxy.testing.backstage import made
        from iscsiproxy.testing.scenarios import placed, scenario_of

        __tracebackhide__ = True
        if initiator == "external":
            raise UsageError("an external initiator does its work in a block: armed is for that")
        settings = self.settings
        try:
            scenario = scenario_of(what, params)
            self._backstage.allow(scenario, initiator)
        except UserError as error:
            raise error.with_traceback(None) from None  # the message says it all
        if aftermath == "none":
            scenario = replace(scenario, aftermath="none")
        base = name = run_name(scenario)
        while any(run.name == name for run in self.runs):
            name = f"{base}#{1 + sum(run.name.partition('#')[0] == base for run in self.runs)}"
        folder = made(settings.folder, name)
        if folder is not None:
            scenario = placed(scenario, what, folder)
        seed = seed_of(settings.seed, name)
        return self._backstage.plan(name, scenario, seed=seed, folder=folder, initiator=initiator, timeout=timeout)

    def _judged(self, run: Run, plan: RunPlan, result: RunResult) -> None:
        from iscsiproxy.testing.ending import verdict_of

        run.judged(verdict_of(plan, result, again=self.again, everything=self.settings.everything))
