"""The console as its users start it: at a terminal, in scripts, and against a real proxy."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from iscsiproxy.api.client import Client
from tests.cli.program import PROGRAM, program, serving

#: A target that nobody is asked for: no initiator connects.
ROUTE = ("--listen", "127.0.0.1:0", "--target", "127.0.0.1:1")
CTRL_C, CTRL_D = b"\x03", b"\x04"
#: How long a loaded machine may take, in seconds
_PATIENCE = 40.0


@contextmanager
def running(path: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a proxy with an API; gives the process and the address."""
    with serving(*ROUTE, "--api", str(path / "api.sock"), *args) as (process, ready):
        yield process, ready["api"]


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, columns: int = 80) -> None:
        self.user, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self.end)
        self.seen = ""
        self.process = subprocess.Popen(
            argv, stdin=self.end, stdout=self.end, stderr=self.end, env={**os.environ, **env}, start_new_session=True
        )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.user)
        os.close(self.end)

    @property
    def restored(self) -> bool:
        """Whether the settings are as they were, and nothing is left on."""
        return termios.tcgetattr(self.end) == self.before and (
            self.seen.rfind("\x1b[?2004l") >= self.seen.rfind("\x1b[?2004h")
            and self.seen.rfind("\x1b[?25h") >= self.seen.rfind("\x1b[?25l")
        )

    @property
    def text(self) -> str:
        """What was shown, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def type(self, keys: bytes) -> None:
        os.write(self.user, keys)

    def read_until(self, true: Callable[[], bool]) -> None:
        """Read what is shown until something is so; where the cursor is is answered."""
        deadline = time.monotonic() + _PATIENCE
        while not true():
            if not select.select([self.user], [], [], 0.05)[0]:
                assert time.monotonic() < deadline, self.text
                continue
            shown = os.read(self.user, 65536).decode(errors="replace")
            self.seen += shown
            for _ in range(shown.count("\x1b[6n")):
                self.type(b"\x1b[1;1R")

    def sees(self, text: str, times: int = 1) -> None:
        self.read_until(lambda: self.text.count(text) >= times)

    def ends(self) -> int:
        """Read to the end of the program; give its status."""
        self.read_until(lambda: self.process.poll() is not None)
        while select.select([self.user], [], [], 0)[0]:
            self.seen += os.read(self.user, 65536).decode(errors="replace")
        return self.process.wait()


@contextmanager
def at_terminal(
    path: Path,
    *args: str,
    argv: Sequence[str] = (*PROGRAM, "console"),
    columns: int = 80,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Terminal]:
    """Start the console at a terminal, its history in a directory of the test."""
    where = {"XDG_STATE_HOME": str(path), "TERM": "xterm", **env}
    terminal = Terminal((*argv, *args), where, columns=columns)
    try:
        yield terminal
    finally:
        terminal.close()


# --- at a terminal -------------------------------------------------------------------------------------------------


def leave_by_quit(terminal: Terminal) -> None:
    terminal.type(b"quit\r")


def leave_by_ctrl_d(terminal: Terminal) -> None:
    terminal.type(CTRL_D)


def leave_by_ctrl_c(terminal: Terminal) -> None:
    terminal.type(CTRL_C)
    terminal.sees("Ctrl-C again to leave")
    terminal.type(CTRL_C)


@pytest.mark.parametrize("leave", [leave_by_quit, leave_by_ctrl_d, leave_by_ctrl_c])
def test_the_terminal_is_restored_when_the_user_leaves(tmp_path: Path, leave: Callable[[Terminal], None]) -> None:
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api) as terminal:
        terminal.sees("sessions 0")
        leave(terminal)
        assert terminal.ends() == 0
        assert terminal.restored


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("doing", [b"half a line", b"wait held for 60s\r"])
def test_the_terminal_is_restored_after_a_signal(tmp_path: Path, number: signal.Signals, doing: bytes) -> None:
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api) as terminal:
        terminal.sees("sessions 0")
        terminal.type(doing)
        terminal.sees(doing.decode().strip())
        terminal.process.send_signal(number)
        assert terminal.ends() == 128 + number
        assert terminal.restored


def test_the_terminal_is_restored_when_the_proxy_ends(tmp_path: Path) -> None:
    with running(tmp_path) as (proxy, api), at_terminal(tmp_path, api) as terminal:
        terminal.sees("sessions 0")
        proxy.kill()
        assert terminal.ends() == 1
        assert "the proxy has ended" in terminal.text
        assert terminal.restored


@pytest.mark.parametrize("broken", ["console.prompt.toolbar", "console.execute.bind"])
def test_the_terminal_is_restored_after_a_crash_and_what_crashed_is_shown(tmp_path: Path, broken: str) -> None:
    module, _, name = f"iscsiproxy.{broken}".rpartition(".")
    code = f"import {module} as broken; broken.{name} = None; from iscsiproxy.cli import main; main()"
    argv = (PROGRAM[0], "-c", code, "console")
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api, argv=argv) as terminal:
        terminal.sees("iscsi>")
        terminal.type(b"rules\r")
        assert terminal.ends() == 70
        assert "TypeError: 'NoneType' object is not callable" in terminal.text
        assert terminal.restored


def test_ctrl_c_breaks_off_a_command_that_waits(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api) as terminal:
        terminal.sees("sessions 0")
        terminal.type(b"wait held for 60s\r")
        terminal.sees("wait held for 60s")
        terminal.type(CTRL_C)
        terminal.sees("broken off")
        terminal.type(b"rules\r")
        terminal.sees("no rule is armed")


def test_a_console_that_the_run_started_tells_it_whether_to_go_on(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api):
        for word, status in ((b"detach\r", 10), (b"quit\r", 0)):
            with at_terminal(tmp_path, api, "--attached") as terminal:
                terminal.sees("`detach` leaves it alone")
                terminal.type(word)
                assert terminal.ends() == status


def test_several_consoles_see_the_same_and_leave_without_the_run(tmp_path: Path) -> None:
    with (
        running(tmp_path) as (proxy, api),
        at_terminal(tmp_path, api) as first,
        at_terminal(tmp_path, api, columns=200) as second,
    ):
        for terminal in (first, second):
            terminal.sees("armed 0")
        first.type(b"delay 200ms Data-In every 3\r")
        for terminal in (first, second):
            terminal.sees("armed 1")
        first.type(b"detach\r")
        assert first.ends() == 0
        second.type(b"rules\r")
        second.sees("delay 200ms Data-In every 3")
        assert proxy.poll() is None


def test_lines_are_kept_for_the_next_console(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api):
        with at_terminal(tmp_path, api) as terminal:
            terminal.sees("sessions 0")
            terminal.type(b"rules\r")
            terminal.sees("no rule is armed")
            terminal.type(CTRL_D)
            terminal.ends()
        assert stat.S_IMODE((tmp_path / "iscsiproxy" / "history").stat().st_mode) == 0o600
        with at_terminal(tmp_path, api) as terminal:
            terminal.sees("sessions 0")
            terminal.type(b"\x1b[A\r")
            terminal.sees("no rule is armed")


def test_a_place_that_cannot_keep_lines_costs_only_that(tmp_path: Path) -> None:
    (tmp_path / "iscsiproxy").touch()
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api) as terminal:
        terminal.sees("lines are not kept for the next time")
        terminal.sees("iscsi>")
        terminal.type(CTRL_D)
        assert terminal.ends() == 0


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_plain_terminals_get_plain_text(tmp_path: Path, env: dict[str, str]) -> None:
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api, env=env) as terminal:
        terminal.sees("iscsi>")
        terminal.type(b"delay 200ms Data-In every 3\r")
        terminal.sees("armed line-1/#1")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.seen)
        terminal.type(CTRL_D)
        assert terminal.ends() == 0
        assert terminal.restored


def test_a_proxy_that_is_not_there_is_told_without_a_prompt(tmp_path: Path) -> None:
    with at_terminal(tmp_path, str(tmp_path / "nobody.sock")) as terminal:
        assert terminal.ends() == 2
        assert "no proxy answers at" in terminal.text
        assert terminal.restored


def errors_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give what was said of errors, without what asyncio says of slow steps in development mode."""
    return [line for line in done.stderr.splitlines() if not line.startswith("Executing ")]


# --- in scripts ----------------------------------------------------------------------------------------------------


def test_commands_of_the_command_line_a_file_and_a_pipe_are_the_same(tmp_path: Path) -> None:
    script = tmp_path / "session.txt"
    script.write_text("# a comment\necho two\n\nrules\n")
    with running(tmp_path) as (_, api):
        given = program("console", api, "-e", "echo one", "-f", str(script))
        piped = program("console", api, stdin=b"echo one\necho two\nrules\n")
        dashed = program("console", api, "-f", "-", stdin=b"echo one\necho two\nrules")
    assert (given.stdout, given.returncode) == ("one\ntwo\nno rule is armed\n", 0)
    assert (piped.stdout, piped.returncode) == (given.stdout, 0)
    assert (dashed.stdout, dashed.returncode) == (given.stdout, 0)


def test_a_command_that_fails_ends_a_script_with_1(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api):
        done = program("console", api, "-e", "kill 9", "-e", "echo two")
        kept = program("console", api, "--keep-going", "-e", "drop R2T wher", "-e", "echo two")
    assert (done.returncode, done.stdout) == (1, "")
    assert errors_of(done)[:2] == ["  kill 9", "there is no connection 9 (there are: none)"]
    assert (kept.returncode, kept.stdout) == (1, "two\n")
    assert errors_of(kept)[:2] == ["  drop R2T wher", "           ^"]


def test_json_is_an_object_a_line(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api):
        done = program("console", api, "--json", "--keep-going", "-e", "proxy", "-e", "kill 9", "-e", "watch for 10ms")
    told: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["command"] for one in told] == ["proxy", "kill 9", "watch for 10ms"]
    assert told[0]["answer"]["sessions"] == 0
    assert told[1]["problem"]["error"] == "not_found"


def test_what_may_corrupt_data_needs_a_yes_unless_the_target_is_scratch(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api):
        refused = program("console", api, "-e", "drop Data-Out nth 1")
        agreed = program("console", api, "--yes", "-e", "drop Data-Out nth 1")
    assert refused.returncode == 1
    assert "`--yes` agrees beforehand" in refused.stderr
    assert agreed.returncode == 0
    with running(tmp_path, "--scratch") as (_, api):
        assert program("console", api, "-e", "drop Data-Out nth 1").returncode == 0


def test_the_only_proxy_that_runs_is_found(tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert program("console", "-e", "rules", env=env).returncode == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        with serving(*ROUTE) as (first, _):
            assert program("console", "-e", "rules").stdout == "no rule is armed\n"
            with serving(*ROUTE) as (second, _):
                done = program("console", "-e", "rules")
    assert done.returncode == 2
    assert f"{first.pid}.sock" in done.stderr
    assert f"{second.pid}.sock" in done.stderr


def test_an_address_of_loopback_wants_its_token(tmp_path: Path) -> None:
    with serving(*ROUTE, "--api", "127.0.0.1:0") as (_, ready):
        api, token = ready["api"], ready["token"]
        assert program("console", api, "-e", "rules", cwd=tmp_path).returncode != 0
        assert program("console", api, "--token", token, "-e", "rules").returncode == 0
        assert program("console", api, "-e", "rules", env={"ISCSIPROXY_TOKEN": token}).returncode == 0


def test_a_prompt_has_no_json(tmp_path: Path) -> None:
    with running(tmp_path) as (_, api), at_terminal(tmp_path, api, "--json") as terminal:
        assert terminal.ends() == 2
        assert "--json needs commands" in terminal.text


# --- with traffic --------------------------------------------------------------------------------------------------


@contextmanager
def busy(path: Path) -> Iterator[str]:
    """Run the proxy between our own target and an initiator that writes and reads; gives the address of the API."""
    with (
        subprocess.Popen((*PROGRAM, "target", "--json"), stdout=subprocess.PIPE, text=True) as target,
    ):
        assert target.stdout is not None
        portal = json.loads(target.stdout.readline())["listen"][0]
        try:
            with serving(
                "--listen", "127.0.0.1:0", "--target", portal, "--scratch", "--check", "--api", str(path / "api.sock")
            ) as (_, ready):
                url = f"iscsi://{ready['listen'][0]}"
                load = (*PROGRAM, "initiator", "io", url, "--scratch", "--seconds", "60", "--size", "4k")
                with subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as initiator:
                    try:
                        _until_it_works(ready["api"])
                        yield ready["api"]
                    finally:
                        initiator.kill()
        finally:
            target.kill()


def _until_it_works(api: str) -> None:
    """Wait for a session: what a screen shows of one that comes later is no whole words."""
    deadline = time.monotonic() + _PATIENCE
    with Client(api) as client:
        while not any(one.type == "Normal" for one in client.sessions()):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_session_under_load_is_watched_changed_and_saved(tmp_path: Path) -> None:
    with busy(tmp_path) as api:
        lines = (
            "wait SCSI-Command where W",
            "watch SCSI-Response count 3",
            "record on",
            "hold SCSI-Command where W nth 1",
            "wait held",
            "show last",
            "edit last F=0",
            "release last",
            "delay 1ms Data-In nth 1",
            "wait fired line-2",
            "inject NOP-In TTT=0x12345678",
            "note that was it",
            "tasks",
            "explain line-2",
            "save mine",
        )
        done = program("console", api, "-f", "-", stdin="\n".join(lines).encode(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SCSI-Response") >= 3
    assert "edited" in done.stdout
    assert "(F 1 -> 0)" in done.stdout
    assert "answer" in done.stdout
    assert "note" in done.stdout
    assert program("faults", "lint", "mine.yaml", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_console_that_stands_still_costs_the_wire_nothing_and_is_told_what_it_missed(tmp_path: Path) -> None:
    def passed(api: str) -> int:
        return int(json.loads(program("console", api, "--json", "-e", "proxy").stdout)["answer"]["pdus"])

    with busy(tmp_path) as api, at_terminal(tmp_path, api) as terminal:
        terminal.sees("iscsi>")
        terminal.type(b"watch both\r")
        terminal.sees("SCSI-Command", times=3)
        terminal.process.send_signal(signal.SIGSTOP)
        before = passed(api)
        deadline = time.monotonic() + _PATIENCE
        while passed(api) < before + 8_000:
            assert time.monotonic() < deadline
        terminal.process.send_signal(signal.SIGCONT)
        terminal.read_until(lambda: bool(re.search(r"up to \d{4,} events were left out here", terminal.text)))
        terminal.type(CTRL_D)
        assert terminal.ends() == 0


def test_a_prompt_under_load_shows_pdus_what_is_held_and_who_waits(tmp_path: Path) -> None:
    with busy(tmp_path) as api, at_terminal(tmp_path, api, columns=120) as terminal:
        terminal.sees("iscsi>")
        terminal.type(b"watch SCSI-Command\r")
        terminal.sees("SCSI-Command    ITT=0x", times=30)
        terminal.type(b"watch off\r")
        terminal.sees("PDUs are no longer shown")
        terminal.type(b"hold SCSI-Command where W nth 1\r")
        terminal.read_until(lambda: bool(re.search(r"NOP \d+\.\ds \(\w+\)", terminal.text)))
        terminal.type(b"\x1b[20~")
        terminal.sees("cleared: 1 rules out, ")
        terminal.type(CTRL_D)
        assert terminal.ends() == 0
        assert terminal.restored
