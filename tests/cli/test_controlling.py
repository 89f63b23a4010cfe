from __future__ import annotations

import io
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from iscsiproxy.api import models
from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.client import Client
from iscsiproxy.api.server.presence import Run
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.known import Known, read_known
from iscsiproxy.checks.profiles import DEFAULT
from iscsiproxy.cli.controlling import Controlled, Judged, Shipped, finding_told
from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.verdicts import LiveJudge
from iscsiproxy.errors import UsageError
from iscsiproxy.proxy import Proxy
from iscsiproxy.runs.library import shipped
from iscsiproxy.session.events import Event
from tests.checks.dialogue import records_of
from tests.cli.program import PROGRAM
from tests.cli.test_console import ROUTE, Terminal

__all__: list[str] = []

BAD = "login" + "\n> NOP-Out\n< NOP-In TTT=5" * 3


def judge_of(text: str, *, known: str = "") -> Judge:
    judge = Judge(known=Known(read_known(known, "known.yaml", rules=["T-047"]) if known else ()))
    for record in records_of(text):
        judge.take(record)
    return judge


# --- the library, and the judge ------------------------------------------------------------------------------------


def test_what_ships_is_read_by_its_name() -> None:
    library = Shipped()
    assert set(library.names()) == set(shipped())
    text, file = library.read("data_out_lost")
    assert text.startswith("scenario: data_out_lost")
    assert Path(file).name == "data_out_lost.yaml"
    with pytest.raises(KeyError):
        library.read("data_out_lots")


def test_findings_are_told_with_what_proves_them_and_how_many_there_are() -> None:
    judge = judge_of(BAD)
    (found, *_) = [one for one in judge.findings if one.rule == "T-047"]
    told = finding_told(found, 3)
    assert (told.rule, told.severity, told.clause, told.blame) == ("T-047", "MUST", found.clause, "target")
    assert (told.n, told.conn, told.about, told.count, told.known) == (found.n, 1, "NOP-In", 3, "")
    assert [(proof.n, proof.text) for proof in told.proof] == [(proof.n, proof.text) for proof in found.proof]
    assert {proof.leg for proof in told.proof} <= {"initiator", "target", ""}


def test_findings_are_counted_by_severity_and_those_that_are_accepted_apart() -> None:
    known = "- {rule: T-047, pdu: NOP-In, clause: RFC 7143 7.7, reason: it is so}"
    judged, accepted = Judged(lambda: judge_of(BAD)), Judged(lambda: judge_of(BAD, known=known))
    assert judged.counts()["MUST"] >= 3
    assert "known" not in judged.counts()
    assert accepted.counts()["known"] == 3
    query = models.FindingQuery()
    of_it = [one for one in judged.findings(query).findings if one.rule == "T-047"]
    assert (len(of_it), of_it[0].count) == (3, 3)
    assert judged.findings(query).checked
    assert judged.findings(query).profile == str(DEFAULT)
    assert not [one for one in accepted.findings(query).findings if one.rule == "T-047"]
    asked = accepted.findings(models.FindingQuery(known=True)).findings
    assert {one.known for one in asked if one.rule == "T-047"} == {"it is so"}


def test_only_findings_behind_an_event_may_be_asked_for() -> None:
    judged = Judged(lambda: judge_of(BAD))
    everything = judged.findings(models.FindingQuery()).findings
    first = everything[0].n
    assert [one.n for one in judged.findings(models.FindingQuery(since=first)).findings] == [
        one.n for one in everything if one.n > first
    ]


async def test_what_is_found_is_among_the_events() -> None:
    out = io.StringIO()
    judge = LiveJudge(Screen(out, as_json=False, verbosity=0), profile=DEFAULT, known=Known())
    proxy = Proxy([], rng=Random(1))
    control = Controlled(proxy, Run(seed=1, library=Shipped()), judge=judge)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        for record in records_of(BAD):
            assert isinstance(record.entry, Event)
            judge(record.entry)
        nursery.cancel_scope.cancel()
    stream = control.history.read(lambda _: True, since=0, follow=False, limit=None)
    found = [event for event in await stream.batch() if event.rule == "T-047"]
    assert [(event.event, event.what, event.conn) for event in found] == [("finding", "MUST", 1)] * 3
    assert [event.n for event in found] == sorted({event.n for event in found}), "each has a number of its own"
    assert found[0].text in out.getvalue()
    assert control.findings(models.FindingQuery()).checked


# --- where it is served --------------------------------------------------------------------------------------------


async def _served(where: str | None, screen: Screen) -> ApiAddress | None:
    """Serve, and give where that was."""
    proxy = Proxy([], rng=Random(1), open_to_rules=True)
    control = Controlled(proxy, Run(seed=7, library=Shipped()), judge=None)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        address: ApiAddress | None = await nursery.start(control.serve, where, screen)
        if address is not None:

            def ask() -> models.Proxy:
                with Client(str(address), token=address.token) as client:
                    return client.proxy()

            assert (await trio.to_thread.run_sync(ask)).seed == 7
        nursery.cancel_scope.cancel()
    return address


def _screen() -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(out, as_json=False, verbosity=0), out


async def test_it_is_served_where_that_is_asked_for_and_is_gone_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    address = await _served(str(path), _screen()[0])
    assert address == ApiAddress(path=path)
    assert not path.exists()


async def test_where_nobody_says_it_has_a_socket_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    address = await _served(None, _screen()[0])
    assert address is not None
    assert address.path is not None
    assert address.path.is_relative_to(tmp_path)
    assert address.path.name == f"{os.getpid()}.sock"


async def test_where_that_cannot_be_nobody_who_has_not_asked_is_bothered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "none"
    nowhere.write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(nowhere))
    screen, out = _screen()
    assert await _served(None, screen) is None
    assert out.getvalue().startswith("nobody can control this run: ")
    with pytest.RaisesGroup(UsageError, flatten_subgroups=True):
        await _served("0.0.0.0:0", screen)


# --- with a console on the same terminal ---------------------------------------------------------------------------


@contextmanager
def at_terminal(tmp_path: Path, *args: str) -> Iterator[Terminal]:
    """Run a proxy with its console at a terminal; ready when that prompts."""
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with closing(Terminal((*PROGRAM, "run", *ROUTE, "--console", *args), env)) as terminal:
        terminal.read_until(lambda: bool(re.search(r"\napi \S+", terminal.text)) and "\x1b[?2004h" in terminal.seen)
        yield terminal


def _checked(terminal: Terminal) -> bool:
    """Ask the run at a terminal whether both ends are judged."""
    found = re.search(r"\napi (\S+)", terminal.text)
    assert found is not None
    with Client(found[1]) as client:
        return client.proxy().checked


def _ended(terminal: Terminal) -> int:
    terminal.read_until(lambda: terminal.process.poll() is not None)
    return terminal.process.wait()


def test_a_console_that_is_left_ends_the_run_and_the_terminal_is_as_it_was(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as terminal:
        assert _checked(terminal), "who has a console wants that"
        terminal.type(b"quit\r")
        assert _ended(terminal) == 0
        assert terminal.restored


def test_a_signal_ends_both_and_the_terminal_is_as_it_was(tmp_path: Path) -> None:
    with at_terminal(tmp_path, "--no-check") as terminal:
        assert not _checked(terminal)
        terminal.process.send_signal(signal.SIGTERM)
        assert _ended(terminal) == 0
        assert terminal.restored


def test_what_is_detached_leaves_the_run_to_itself(tmp_path: Path) -> None:
    with at_terminal(tmp_path, "--no-check") as terminal:
        terminal.type(b"detach\r")
        terminal.read_until(lambda: "the console is gone, the proxy goes on" in terminal.text)
        assert not _checked(terminal)
        assert terminal.process.poll() is None
        terminal.process.send_signal(signal.SIGINT)
        assert _ended(terminal) == 0
        assert terminal.restored
