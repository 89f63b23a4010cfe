"""`iscsiproxy run`: stand between an initiator and a target, and break things as the scenario files say."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import trio

from iscsiproxy import __version__
from iscsiproxy.api.address import TOKEN_VARIABLE, ApiAddress
from iscsiproxy.api.server.presence import Run
from iscsiproxy.api.server.timers import DEFAULTS, Patience, parse_timer
from iscsiproxy.capture import Capture
from iscsiproxy.checks.known import Deviation, Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.cli.controlling import Controlled, Shipped, attend
from iscsiproxy.cli.judging import known_lists
from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.signals import listen_to_signals
from iscsiproxy.cli.verdicts import LiveJudge
from iscsiproxy.cli.watch import Watch
from iscsiproxy.errors import UsageError
from iscsiproxy.journal import Journal
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Address, Proxy, Route, Settings, Sink, parse_address
from iscsiproxy.runs.library import arm

__all__ = ["command"]

_LOOPBACK = "127.0.0.1"
#: How long CMD has to end after it was asked to, in seconds.
_PATIENCE = 5.0

_EPILOG = """\b
Examples:
  iscsiproxy run --listen :3261 --target storage:3260
  iscsiproxy run --listen :0 --target :3260 --faults data_out_lost -- \\
      qemu-io -f raw -c 'write 0 1M' 'iscsi://{portal}/iqn.2004-01.com.example:t/1'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A run as the command line asks for it."""

    routes: tuple[Route, ...]
    scenarios: tuple[Scenario, ...]
    seed: int
    journal: Path | None
    capture: Path | None
    settings: Settings
    explain: bool
    check: bool
    profile: Profile
    known: tuple[Deviation, ...]
    api: str | None
    console: bool
    scratch: bool
    patience: Patience
    argv: tuple[str, ...]


@click.command(name="run", epilog=_EPILOG)
@click.option("--listen", metavar="A:P", help="Where initiators connect; :0 picks a free loopback port.")
@click.option("--target", metavar="H:P", help="The real target's portal; the port is 3260 if not given.")
@click.option("--map", "maps", multiple=True, metavar="A:P=H:P", help="A further pair of both; may be repeated.")
@click.option("--faults", multiple=True, metavar="FILE|NAME", help="A scenario to arm; may be repeated.")
@click.option("-p", "params", multiple=True, metavar="NAME=VALUE", help="Set a parameter of the scenarios.")
@click.option("--seed", type=int, help="Reproduce a run's random decisions.  [default: a fresh one, printed]")
@click.option("--journal", type=click.Path(path_type=Path), metavar="FILE", help="Record everything as JSON lines.")
@click.option("--capture", type=click.Path(path_type=Path), metavar="FILE", help="Record both legs as pcapng.")
@click.option("--on-garbage", type=click.Choice(["pass", "close"]), default="pass", show_default=True,
              help="What to do with a connection whose bytes are no PDUs.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Say at the end why each rule did or did not fire.")
@click.option("--check/--no-check", default=None,
              help="Judge both ends by the standard, and tell what is found as it happens.  "
              "[default: with --console]")  # fmt: skip
@click.option("--profile", type=click.Choice([str(one) for one in Profile]), default=str(DEFAULT), show_default=True,
              help="The standard that --check holds them to.")  # fmt: skip
@click.option("--known", multiple=True, metavar="FILE|NAME",
              help="A list of deviations that --check accepts; may be repeated.")  # fmt: skip
@click.option("--console", is_flag=True, help="Drive it live, from a prompt on this terminal.")
@click.option("--api", metavar="PATH|HOST:PORT|no",
              help="Where it can be controlled: a Unix socket, or loopback with a token (that of ISCSIPROXY_TOKEN, "
              "else a fresh one is printed).  [default: a socket of its own; with CMD none]")  # fmt: skip
@click.option("--scratch", is_flag=True,
              help="What is on the target may be overwritten: no fault that is armed live needs to be "
              "confirmed.")  # fmt: skip
@click.option("--timer", "timers", multiple=True, metavar="NAME=SECONDS",
              help="How long a peer waits, for the countdown while a PDU is held; 0: for ever; may be repeated.  "
              f"[{', '.join(f'{name} {seconds:g}' for name, (seconds, _) in DEFAULTS.items())}]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines.")
@click.option("-v", "--verbose", count=True, help="Show connections and decisions; twice: every PDU.")
@click.argument("argv", nargs=-1, metavar="[-- CMD ...]", type=click.UNPROCESSED)
def command(
    listen: str | None,
    target: str | None,
    maps: tuple[str, ...],
    faults: tuple[str, ...],
    params: tuple[str, ...],
    seed: int | None,
    journal: Path | None,
    capture: Path | None,
    on_garbage: str,
    explain: bool,
    check: bool | None,
    profile: str,
    known: tuple[str, ...],
    console: bool,
    api: str | None,
    scratch: bool,
    timers: tuple[str, ...],
    as_json: bool,
    verbose: int,
    argv: tuple[str, ...],
) -> None:
    """Put the proxy between an initiator and a target.

    The first line printed says where it is ready. Without CMD it serves until Ctrl-C or SIGTERM. With CMD it runs it,
    with the proxy's address in place of {portal}, {host} and {port} and in the environment as ISCSIPROXY_PORTAL, prints
    to stderr, and ends with CMD's status if that is not zero; else with 1 if --check found a MUST broken, with 3 if a
    fault that had to fire never did, and says why not, or if nothing could be judged.
    """
    scenarios = arm(faults, _pairs(params))
    plan = _Plan(
        routes=_routes(listen, target, maps),
        scenarios=tuple(scenarios),
        seed=random.SystemRandom().randrange(1 << 32) if seed is None else seed,
        journal=journal,
        capture=capture,
        settings=Settings(close_on_garbage=on_garbage == "close"),
        explain=explain,
        check=console if check is None else check,
        profile=Profile(profile),
        known=known_lists(known),
        api=api or ("no" if argv else None),
        console=_on_terminal(console, argv, as_json=as_json, api=api),
        scratch=scratch,
        patience=Patience(dict(map(parse_timer, timers))),
        argv=argv,
    )
    screen = Screen(sys.stderr if argv else sys.stdout, as_json=as_json, verbosity=verbose)
    sys.exit(trio.run(_run, plan, screen))


def _on_terminal(console: bool, argv: Sequence[str], *, as_json: bool, api: str | None) -> bool:
    """Tell whether there is to be a console; raises UsageError if there cannot be one."""
    if console and (argv or as_json or api == "no"):
        other = "CMD" if argv else "--json" if as_json else "--api no"
        raise UsageError(f"--console and {other} exclude each other")
    if console and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--console wants a terminal; `iscsiproxy console -e COMMAND` does without one")
    return console


def _pairs(params: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or not name:
            raise UsageError(f"-p {param!r}: expected name=value")
        pairs[name] = value
    return pairs


def _routes(listen: str | None, target: str | None, maps: Sequence[str]) -> tuple[Route, ...]:
    pairs: list[tuple[str, str]] = []
    if listen is not None or target is not None:
        if listen is None or target is None:
            raise UsageError(
                f"--{'target' if listen is None else 'listen'} needs --{'listen' if listen is None else 'target'} too"
            )
        pairs.append((listen, target))
    for text in maps:
        left, equals, right = text.partition("=")
        if not equals:
            raise UsageError(f"--map {text!r}: expected LISTEN=TARGET, as in :3261=storage:3260")
        pairs.append((left, right))
    if not pairs:
        raise UsageError("nowhere to listen: give --listen and --target, or --map")
    return tuple(
        Route(parse_address(left, default_host=_LOOPBACK), parse_address(right, default_host=_LOOPBACK))
        for left, right in pairs
    )


async def _run(plan: _Plan, screen: Screen) -> int:
    with ExitStack() as files:
        sinks = [Sink(screen, pdus=screen.wants_pdus)]
        started = time.time()
        recorders: dict[str, Journal | Capture] = {}
        if plan.journal is not None:
            recorders["journal"] = Journal(
                _created(plan.journal),
                started=started,
                seed=plan.seed,
                maps=[f"{route.listen}={route.target}" for route in plan.routes],
                scenarios=[scenario.name for scenario in plan.scenarios],
            )
        if plan.capture is not None:
            recorders["capture"] = Capture(_created(plan.capture), started=started)
        for recorder in recorders.values():
            files.callback(recorder.close)
            sinks.append(Sink(recorder, pdus=True))
        judge = None
        if plan.check:
            judge = LiveJudge(screen, profile=plan.profile, known=Known(plan.known))
            sinks.append(Sink(judge, pdus=True))
        watch = None
        if plan.scenarios and (plan.explain or plan.argv):
            watch = Watch(plan.scenarios, seed=plan.seed, relay=lambda: proxy.relay)
            sinks.append(Sink(watch, pdus=True))
        proxy = Proxy(
            plan.routes,
            scenarios=plan.scenarios,
            rng=random.Random(plan.seed),
            sinks=sinks,
            settings=plan.settings,
            open_to_rules=plan.api != "no",
        )
        control = None
        if plan.api != "no":
            run = Run(
                seed=plan.seed,
                library=Shipped(),
                scratch=plan.scratch,
                profile=str(plan.profile) if judge is not None else "",
                journal=plan.journal,
                capture=plan.capture,
                always=plan.console,
                patience=plan.patience,
                lost=lambda: sum(recorder.lost for recorder in recorders.values()),
            )
            control = Controlled(proxy, run, judge=judge, scenarios=plan.scenarios)
        status = await _serve(plan, proxy, screen, judge, control)
    for what, recorder in recorders.items():
        if recorder.lost:
            why = recorder.failure or "the disk could not keep up"
            screen.warn(f"the {what} lacks {recorder.lost} records: {why}")
    ours = judge.tell() if judge is not None else 0
    return _concluded(proxy, screen, status, watch, plan) or (ours if ours == 1 or plan.argv else 0)


def _created(path: Path) -> Path:
    """Make sure that a file can be written; raises UsageError if not."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path


async def _serve(plan: _Plan, proxy: Proxy, screen: Screen, judge: LiveJudge | None, control: Controlled | None) -> int:
    """Run the proxy until a signal comes, CMD ends, or the console is left; give CMD's status, or 0."""
    status = 0
    asked = trio.Event()
    async with trio.open_nursery() as nursery:
        # Before anybody is told that we are ready: from then on a signal may come, and a second one while we end.
        await nursery.start(listen_to_signals, asked, lambda: not screen.muted)
        routes = await nursery.start(proxy.run)
        if judge is not None:
            nursery.start_soon(judge.keep_time)
        api = None if control is None else await nursery.start(control.serve, plan.api, screen)
        _ready(routes, api, plan, screen)
        if plan.argv:
            status = await _captive(plan.argv, [route.listen for route in routes], asked)
        elif plan.console and api is not None:
            await attend(api, screen, asked)
        else:
            await asked.wait()
        await proxy.shutdown()
        nursery.cancel_scope.cancel()
    return status


def _ready(routes: Sequence[Route], api: ApiAddress | None, plan: _Plan, screen: Screen) -> None:
    if screen.as_json:
        screen.json(
            {
                "event": "ready",
                "version": __version__,
                "pid": os.getpid(),
                "seed": plan.seed,
                "listen": [str(route.listen) for route in routes],
                "target": [str(route.target) for route in routes],
                "scenarios": [scenario.name for scenario in plan.scenarios],
                "api": None if api is None else str(api),
                "token": None if api is None else api.token,
            }
        )
        return
    for route in routes:
        screen.line(f"ready listen={route.listen} target={route.target} seed={plan.seed}")
    if api is not None:
        fresh = api.token is not None and os.environ.get(TOKEN_VARIABLE) != api.token
        screen.line(f"api {api}{f' token={api.token}' if fresh else ''}")
    for scenario in plan.scenarios:
        screen.line(f"armed {scenario.name}{': ' + scenario.title if scenario.title else ''}")


async def _captive(argv: Sequence[str], portals: Sequence[Address], asked: trio.Event) -> int:
    """Run CMD to its end; a signal to us ends it. Give its status as a shell would."""
    first = portals[0]
    words = {"{portal}": str(first), "{host}": first.host, "{port}": str(first.port)}
    filled = []
    for word in argv:
        for placeholder, value in words.items():
            word = word.replace(placeholder, value)
        filled.append(word)
    environment = os.environ | {
        "ISCSIPROXY_PORTAL": str(first),
        "ISCSIPROXY_HOST": first.host,
        "ISCSIPROXY_PORT": str(first.port),
        "ISCSIPROXY_PORTALS": " ".join(map(str, portals)),
    }
    try:
        process = await trio.lowlevel.open_process(filled, env=environment)
    except OSError as error:
        raise UsageError(f"cannot run {filled[0]}: {error.strerror}") from error

    async def end_on_signal() -> None:
        await asked.wait()
        process.terminate()
        with trio.move_on_after(_PATIENCE):
            await process.wait()
        process.kill()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_on_signal)
        status = await process.wait()
        nursery.cancel_scope.cancel()
    return 128 - status if status < 0 else status


def _concluded(proxy: Proxy, screen: Screen, status: int, watch: Watch | None, plan: _Plan) -> int:
    """Say how often each rule fired, and choose the exit code."""
    relay = proxy.relay
    engine = relay.engine if relay is not None else None
    unfired = []
    if engine is not None:
        unfired = list(engine.unfired())
        if screen.as_json:
            screen.json({"event": "rules", "rules": [counted.facts() for counted in engine.counters()]})
        else:
            for counted in engine.counters():
                screen.line(f"rule {counted.rule}: matched {counted.matched}, fired {counted.fired}")
            if watch is None:  # it says so itself, with the reason
                for rule in unfired:
                    screen.warn(f"rule {rule} never fired")
        if watch is not None:
            watch.tell(screen, None if plan.explain else unfired)
    if relay is not None and relay.crashes:
        screen.warn(f"{len(relay.crashes)} internal errors; the run proves nothing")
        return status or 70
    return status or (3 if unfired and plan.argv else 0)
