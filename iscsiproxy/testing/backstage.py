"""What goes on behind a test, in a thread of its own: the target, and a proxy before it that is always there.

While nothing is armed, that is a plain proxy whose two ends are held to the standard. A block has a run of its own, on
the same address: the plain proxy makes room for it, which ends the sessions there are, and comes back behind it. So the
fault meets a session of its own, as in `iscsiproxy test`. Everything here but `Backstage` is for the thread of trio.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal, NoReturn, TypeVar

import trio

from iscsiproxy.checks.known import Deviation, Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.cli.judging import known_lists
from iscsiproxy.errors import InternalError, PeerError, UsageError, UserError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Address, parse_address
from iscsiproxy.report.model import Finding, RunResult
from iscsiproxy.runs.block import Block
from iscsiproxy.runs.driving import Behind
from iscsiproxy.runs.initiators import InitiatorSpec, parse_initiator
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.scenario import only
from iscsiproxy.runs.scratch import Permission, check_permission
from iscsiproxy.runs.suite import file_name, looked
from iscsiproxy.runs.targets import Target, opened, parse_target
from iscsiproxy.testing.plays import Play, Unarmed, held
from iscsiproxy.testing.settings import Settings

__all__ = ["Backstage", "made"]

T = TypeVar("T")

#: How long the thread has to end when it was told to, in seconds: what a command has started is given a few
_END: Final = 20.0
_LOOPBACK: Final = "127.0.0.1"
#: Where the initiator is somebody else's, and where it is ours
_TEST: Final = InitiatorSpec(kind="external", shown="a test")
_OURS: Final = InitiatorSpec(kind="embedded", shown="embedded")
#: What the plain proxy does
_NOTHING: Final = Scenario(name="unarmed", victim="both", aftermath="none")


class Backstage:
    """The thread, and what a test asks of it; to be closed by whoever has started it.

    What goes wrong in the thread is raised by whatever is asked next, at the latest by `close`.
    """

    def __init__(self, settings: Settings) -> None:
        self.target: Target | None = None
        self.portal: Address | None = None
        self.said: list[str] = []  #: what a user may want to know
        self._settings = settings
        self._known: tuple[Deviation, ...] = ()
        self._profile = DEFAULT
        self._thread = threading.Thread(target=self._work, name="iscsiproxy", daemon=True)
        self._begun: SimpleQueue[BaseException | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._crashes: list[Exception] = []
        self._token: trio.lowlevel.TrioToken | None = None
        self._over = False  #: nobody needs it any more
        self._ready = False
        self._scope = trio.CancelScope()
        self._stop = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._listen = Address(_LOOPBACK, 0)
        self._plain: Unarmed | None = None
        self._plains = 0
        self._found: tuple[Finding, ...] = ()
        self._play: Play | None = None
        self._ending = trio.Lock()

    def __repr__(self) -> str:
        state = "ended" if not self._thread.is_alive() else "with a block" if self._play is not None else "unarmed"
        return f"<Backstage at {self.portal}, {state}>"

    # --- for the test ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Have target and proxy ready. Raises UserError and PeerError, and the thread has ended then."""
        __tracebackhide__ = True
        self._known = known_lists(self._settings.known)
        self._profile = _profile(self._settings.profile)
        self._thread.start()
        if (error := self._begun.get()) is not None:
            self._thread.join(_END)
            self._error = None
            _raise(error)

    def call(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """Run an async function of this class in the thread, and wait for it. Raises what it raises."""
        __tracebackhide__ = True
        if trio.lowlevel.in_trio_task():
            raise UsageError("this waits, and so would everything in this thread: call it with trio.to_thread.run_sync")
        assert self._token is not None
        try:
            return trio.from_thread.run(function, *args, trio_token=self._token)
        except (UserError, PeerError) as error:
            _raise(error)
        except (trio.RunFinishedError, trio.Cancelled):
            self._thread.join(_END)  # then it is known why
            why = "" if self._error is None else f": {self._error!r}"
            raise InternalError(f"the proxy has ended{why}") from self._error

    def close(self) -> None:
        """End it all, in bounded time. Raises what went wrong in the thread, and InternalError for a crash of ours."""
        self._over = True
        if self._thread.is_alive():
            if self._token is not None:
                with suppress(trio.RunFinishedError):  # it has ended by itself
                    self._token.run_sync_soon(self._leave)
            self._thread.join(_END)
            if self._thread.is_alive():
                raise InternalError(f"the thread of the proxy has not ended in {_END:g} s")
        error, self._error = self._error, None
        if error is not None:
            raise error
        crashes, self._crashes = self._crashes, []
        if crashes:
            raise InternalError(f"{len(crashes)} crashes behind the test, the first: {crashes[0]!r}") from crashes[0]

    def findings(self) -> tuple[Finding, ...]:
        """Give what the judge has found while nothing was armed."""
        return self.call(self._all_found) if self._thread.is_alive() else self._found

    def allow(self, scenario: Scenario, initiator: str) -> None:
        """Refuse what may write where nothing was declared scratch. Raises UsageError."""
        assert self.target is not None
        check_permission(
            [scenario],
            self.target.spec,
            parse_initiator(initiator) if initiator else _TEST,
            Permission(everything=self._settings.scratch),
            ways="scratch=True, --iscsi-scratch or the ini option iscsi_scratch",
        )

    def plan(
        self,
        name: str,
        scenario: Scenario,
        *,
        seed: int,
        folder: Path | None,
        initiator: str = "",
        timeout: float = 0.0,
    ) -> RunPlan:
        """Make the plan of a run: of a block, where no initiator is named."""
        assert self.target is not None
        settings = self._settings
        return RunPlan(
            name=name,
            scenario=scenario,
            target=self.target,
            initiator=parse_initiator(initiator) if initiator else _TEST,
            seed=seed,
            timeout=timeout,
            # A block is all the time that there is for a rule to fire, and the steady state is what comes before it.
            fires=None if initiator else 0.0,
            steady=bool(initiator),
            listen=self._listen,
            folder=folder,
            capture=settings.everything and folder is not None,
            check=settings.check,
            profile=self._profile,
            known=Known(self._known),
            environment=dict(os.environ),
        )

    # --- the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            trio.run(self._live)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the thread has it raised
            self._error = only(error) if isinstance(error, Exception) else error
        finally:
            self._begun.put(self._error)

    def _leave(self) -> None:
        self._stop.set()
        if not self._ready:
            self._scope.cancel()

    async def _live(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if self._over:
            return
        with self._scope:
            async with opened(parse_target(self._settings.target)) as target:
                # The test has to be told the name of the target, and where a disk is.
                self.target = target if target.spec.kind == "embedded" else await looked(target, _OURS)
                with held(parse_address(self._settings.listen, default_host=_LOOPBACK)) as self._listen:
                    await self._serve()
                self._crashes += target.crashes

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._unarm()
            self._ready = True
            self._begun.put(None)
            await self._stop.wait()
            await self._make_room()
            nursery.cancel_scope.cancel()

    async def _unarm(self) -> None:
        """Put the plain proxy before the target."""
        assert self._nursery is not None
        self._plains += 1
        name = _NOTHING.name if self._plains == 1 else f"{_NOTHING.name}#{self._plains}"
        folder = made(self._settings.folder, name)
        plain = Unarmed(self.plan(name, _NOTHING, seed=self._settings.seed, folder=folder), self.said.append)
        (route,) = await self._nursery.start(plain.run)
        self._plain, self.portal = plain, route.listen

    async def _make_room(self) -> None:
        """Take the plain proxy away, and keep what its judge has found."""
        plain, self._plain = self._plain, None
        if plain is not None:
            await plain.close()
            self._found += plain.findings()
            self._crashes += plain.crashes

    # --- a block, or another run -------------------------------------------------------------------------------------

    async def _all_found(self) -> tuple[Finding, ...]:
        return self._found + (self._plain.findings() if self._plain is not None else ())

    async def arm(self, plan: RunPlan, *, aftermath: bool) -> None:
        """Begin the run of a block; when this returns the rules are in force. Raises UserError.

        A run that is over at once, since the scenario needs what is not there, leaves the plain proxy in its place.
        With `aftermath` the block has a function for that.
        """
        await self._begin(Play(plan, self.said.append, Block(), aftermath=aftermath))
        assert self._play is not None
        await self._play.begun.wait()
        if self._play.over.is_set():
            await self._unarm()
            if self._play.error is not None:
                await self._end(self._play)

    async def end_block(self) -> RunResult | bool:
        """Take note that the block has ended; give the result, or whether good I/O is wanted over a new session."""
        assert self._play is not None
        self._play.block.ended.set()
        return await self._step()

    async def did(self, behind: Behind) -> RunResult | bool:
        """Take what the good I/O that was wanted came to; the rest is as for `end_block`."""
        assert self._play is not None
        await self._play.answer(behind)
        return await self._step()

    async def abort(self, plan: RunPlan) -> RunResult | None:
        """End the run of that plan as it is, and give what it came to; None if it is not that which goes on."""
        play = self._play
        if play is None or play.plan is not plan:
            return None
        play.interrupt.set()
        await play.over.wait()
        return await self._end(play)

    async def play(self, plan: RunPlan) -> RunResult:
        """Do a whole run, without a block."""
        await self._begin(Play(plan, self.said.append, None))
        result = await self._step()
        assert isinstance(result, RunResult)
        return result

    async def wait_decided(self, seconds: float) -> bool:
        """Wait until every rule has fired and all is decided; False if that did not come in time."""
        assert self._play is not None
        with trio.move_on_after(seconds):
            await self._play.block.decided.wait()
        return self._play.block.decided.is_set()

    async def tell(self, what: Literal["good", "error", "mismatch"], text: str) -> None:
        """Put what the application saw into the journal."""
        if self._play is not None and self._play.block.tell is not None:
            self._play.block.tell(what, text)

    async def _begin(self, play: Play) -> None:
        assert self._nursery is not None
        if self._play is not None:
            raise UsageError(f"{self._play.plan.name} is not over: one block after the other")
        await self._make_room()
        self._play = play
        self._nursery.start_soon(play.run)

    async def _step(self) -> RunResult | bool:
        play = self._play
        assert play is not None
        anew = await play.wanted()
        return await self._end(play) if anew is None else anew

    async def _end(self, play: Play) -> RunResult:
        # Who waited for it, and was interrupted in that, waits here still: both may come by.
        async with self._ending:
            if self._play is play and self._plain is None:
                await self._unarm()
            self._play = None if self._play is play else self._play
        if play.error is not None:
            raise play.error
        assert play.result is not None
        return play.result


def _raise(error: BaseException) -> NoReturn:
    """Raise it; where in the thread it came up is no concern of a user's, and there is a password in some places."""
    __tracebackhide__ = True
    if isinstance(error, UserError | PeerError):
        raise error.with_traceback(None) from None
    raise error


def _profile(name: str | None) -> Profile:
    if name is None:
        return DEFAULT
    try:
        return Profile(name)
    except ValueError:
        raise UsageError(f"no profile is called {name!r}: there are {', '.join(map(str, Profile))}") from None


def made(folder: Path | None, name: str) -> Path | None:
    """Make the folder of a run. Raises UsageError."""
    if folder is None:
        return None
    home = folder / file_name(name)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {home}: {error.strerror}") from error
    return home
