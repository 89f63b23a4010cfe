from __future__ import annotations

import json
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from iscsiproxy.api.client import ApiError, Client
from iscsiproxy.checks.profiles import DEFAULT
from tests.cli.program import program, serving
from tests.proxy.fakes import login_request

_ROUTE = ("--listen", ":0", "--target", "127.0.0.1:1")


def _error(*args: str) -> str:
    done = program("run", *args)
    assert done.returncode == 2
    return done.stderr.strip().removeprefix("iscsiproxy: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "nowhere to listen: give --listen and --target, or --map"),
        (("--listen", ":0"), "--listen needs --target too"),
        (("--target", ":1"), "--target needs --listen too"),
        (("--map", "x"), "--map 'x': expected LISTEN=TARGET, as in :3261=storage:3260"),
        (
            ("--listen", ":x", "--target", ":1"),
            "':x' is not an address: 'x' is no port number (0 to 65535)",
        ),
        ((*_ROUTE, "-p", "nth"), "-p 'nth': expected name=value"),
        (
            (*_ROUTE, "--faults", "data_out_lots"),
            "no scenario is called 'data_out_lots' (did you mean data_out_lost?)",
        ),
        (
            (*_ROUTE, "--faults", "cmdsn_duplicate_write", "-p", "nht=1"),
            "no scenario has a parameter 'nht' (did you mean nth?)",
        ),
        (
            (*_ROUTE, "--journal", "/nowhere/at/all"),
            "cannot write /nowhere/at/all: No such file or directory",
        ),
        (
            (*_ROUTE, "--timer", "login_timout=3"),
            "there is no timer 'login_timout' (did you mean login_timeout?)",
        ),
        ((*_ROUTE, "--", "/no/such/program"), "cannot run /no/such/program: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(args: tuple[str, ...], message: str) -> None:
    assert _error(*args).splitlines()[-1].removeprefix("iscsiproxy: ") == message


def test_a_listening_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert _error("--listen", address, "--target", ":1") == f"cannot listen at {address}: Address already in use"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(how: signal.Signals) -> None:
    with serving(*_ROUTE, "--seed", "5") as (process, ready):
        assert ready["event"] == "ready"
        assert (ready["seed"], ready["target"], ready["pid"]) == (5, ["127.0.0.1:1"], process.pid)
        process.send_signal(how)
        assert process.wait(10) == 0


def test_the_first_line_for_people_says_where_it_is_ready() -> None:
    done = program("run", *_ROUTE, "--seed", "5", "--faults", "data_out_lost", "--", "true")
    ready, armed = done.stderr.splitlines()[:2]
    assert ready.startswith("ready listen=127.0.0.1:")
    assert ready.endswith(" target=127.0.0.1:1 seed=5")
    assert armed.startswith("armed data_out_lost: ")
    assert done.returncode == 3  # it never fired
    assert "never fired" in done.stderr


_SHOW = (
    "import os, sys, json;"
    "print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if k.startswith('ISCSIPROXY_')}]))"
)


def test_a_command_gets_the_portal_in_its_words_and_its_environment() -> None:
    words = ("{portal}", "at {host}:{port}!", '{"a": {}}')
    done = program("run", *_ROUTE, "--", sys.executable, "-c", _SHOW, *words)
    assert done.returncode == 0
    (portal, at, braces), environment = json.loads(done.stdout)
    assert at == f"at {portal}!"
    assert braces == '{"a": {}}'
    assert environment["ISCSIPROXY_PORTAL"] == environment["ISCSIPROXY_PORTALS"] == portal
    assert portal == f"{environment['ISCSIPROXY_HOST']}:{environment['ISCSIPROXY_PORT']}"


@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_it_ends_with_the_status_of_the_command(command: str, status: int) -> None:
    assert program("run", *_ROUTE, "--", "sh", "-c", command).returncode == status


def test_a_signal_ends_the_command_too() -> None:
    with serving("--listen", ":0", "--target", ":1", "--", "sh", "-c", "echo '{}'; exec sleep 60") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM


def test_every_line_of_json_can_be_read_and_a_target_that_is_away_is_told(tmp_path: Path) -> None:
    with serving(*_ROUTE, "-vv", "--journal", str(tmp_path / "journal")) as (process, ready):
        host, _, port = ready["listen"][0].rpartition(":")
        with socket.create_connection((host, int(port))) as initiator:
            assert initiator.recv(1) == b""
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        events = [json.loads(line) for line in process.stdout]
        assert process.wait(10) == 0
    (failed,) = [event for event in events if event["event"] == "connectfailed"]
    assert failed["reason"] == "Connection refused"


# --- under control -------------------------------------------------------------------------------------------------


def test_it_can_be_controlled_at_a_socket_of_its_own_unless_that_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with serving(*_ROUTE, "--api", str(path), "--scratch", "--check") as (process, ready):
        assert (ready["api"], ready["token"]) == (str(path), None)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with Client(str(path)) as client:
            run = client.proxy()
            assert (run.pid, run.scratch, run.checked, run.profile) == (process.pid, True, True, str(DEFAULT))
            assert [(route.listen, route.target) for route in run.routes] == [(*ready["listen"], "127.0.0.1:1")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not path.exists()
    with serving(*_ROUTE, "--api", "no") as (_, ready):
        assert ready["api"] is None


def test_at_loopback_it_wants_a_token(tmp_path: Path) -> None:
    with serving(*_ROUTE, "--api", "127.0.0.1:0", "--no-check") as (_, ready):
        with Client(ready["api"], token=ready["token"]) as client:
            assert client.proxy().checked is False
        with pytest.raises(ApiError, match="token"), Client(ready["api"], token="wrong") as client:
            client.proxy()
    for token, shown in (("", True), ("my-own-token", False)):
        env = {"ISCSIPROXY_TOKEN": token, "XDG_RUNTIME_DIR": str(tmp_path)}
        done = program("run", *_ROUTE, "--api", "127.0.0.1:0", "--", "true", env=env)
        assert done.returncode == 0
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("api ")]
        assert (" token=" in line) is shown
        assert "my-own-token" not in done.stderr


def test_with_a_command_it_is_controlled_only_where_that_is_asked_for(tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert "\napi " not in program("run", *_ROUTE, "--", "true", env=env).stderr
    path = tmp_path / "api.sock"
    done = program("run", *_ROUTE, "--api", str(path), "--", "test", "-S", str(path), env=env)
    assert done.returncode == 0
    assert f"\napi {path}\n" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--console", "--", "true"), "--console and CMD exclude each other"),
        (("--console", "--json"), "--console and --json exclude each other"),
        (("--console", "--api", "no"), "--console and --api no exclude each other"),
        (("--console",), "--console wants a terminal; `iscsiproxy console -e COMMAND` does without one"),
    ],
)
def test_a_console_has_the_terminal_to_itself(args: tuple[str, ...], message: str) -> None:
    assert _error(*_ROUTE, *args) == message


@pytest.mark.parametrize("address", ["0.0.0.0:0", "/no/such/directory/api.sock", "somewhere:80"])
def test_where_it_was_asked_to_be_controlled_it_must_be_able_to(address: str) -> None:
    assert address.rpartition("/")[0] in _error(*_ROUTE, "--api", address)


def test_what_is_armed_live_acts_and_is_told_with_the_run(tmp_path: Path) -> None:
    with serving(*_ROUTE, "--api", str(tmp_path / "api.sock"), "-v") as (process, ready):
        with Client(ready["api"]) as client:
            assert client.arm(line="refuse connect").rules[0].armed
        host, _, port = ready["listen"][0].rpartition(":")
        with socket.create_connection((host, int(port))) as initiator, pytest.raises(ConnectionResetError):
            initiator.recv(1)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        events = [json.loads(line)["event"] for line in process.stdout]
        assert process.wait(10) == 0
    assert {"fired", "refused"} <= set(events)


def test_the_countdown_of_a_held_pdu_is_by_the_timers_that_were_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        route = ("--listen", ":0", "--target", f"127.0.0.1:{target.getsockname()[1]}")
        more = ("--api", str(tmp_path / "api.sock"), "--timer", "login_timeout=100")
        with serving(*route, *more) as (_, ready), Client(ready["api"]) as client:
            client.arm(line="hold Login-Request")
            host, _, port = ready["listen"][0].rpartition(":")
            with socket.create_connection((host, int(port))) as initiator:
                with client.events(since=0) as events:
                    initiator.sendall(login_request().raw)
                    assert any(event.what == "held" for event in events)
                (held,) = client.held()
                assert held.timer is not None
                assert (held.timer.what, held.timer.why) == ("login", "login_timeout 100 s, as was told")
                assert 50 < held.timer.left <= 100
