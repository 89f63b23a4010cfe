from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from iscsiproxy.cli.target import command
from iscsiproxy.errors import UsageError
from iscsiproxy.peers.target.quirks import PERSONALITIES, QUIRKS
from tests.cli.program import PROGRAM, program

__all__: list[str] = []


@contextmanager
def serving(*args: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run it until the end of the block; gives the process and what its first line says."""
    with subprocess.Popen((*PROGRAM, "target", "--json", *args), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def error(*args: str, env: Mapping[str, str] | None = None) -> str:
    """Run it in this process; it must end with a usage error."""
    # An address that nobody here has: whatever is not refused before does not serve for ever.
    result = CliRunner().invoke(command, ["--listen", "192.0.2.1:0", *args], env=env)
    raised = result.exception
    while isinstance(raised, BaseExceptionGroup):
        (raised,) = raised.exceptions
    assert isinstance(raised, UsageError), result
    return str(raised)


NO_HOST = "cannot listen at 192.0.2.1:0"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--listen", "x:y"), "'x:y' is not an address: 'y' is no port number (0 to 65535)"),
        (("--iqn", "disk"), "--iqn 'disk': expected an iSCSI name, as in iqn.2026-01.example.iscsiproxy:target"),
        (("--iqn", "iqn.2026-01.a:" + "x" * 210), None),
        (("--lun", ""), "--lun '': expected [N=]SIZE or [N=]FILE[:SIZE], as in 64M or disk.img:1G"),
        (("--lun", "2=64M", "--lun", "2=1M"), "--lun '2=1M': there is a LUN 2 already"),
        (("--lun", "16384=1M"), "--lun '16384=1M': LUN numbers go from 0 to 16383"),
        (("--lun", "/no/such/file"), "--lun /no/such/file: No such file or directory"),
        (
            ("--lun", "no-such-disk"),
            "--lun no-such-disk: No such file or directory; it is made if a size is given, as in no-such-disk:64M",
        ),
        (("--lun", "disk:99999999T"), "--lun 'disk:99999999T': expected less than 8388608T"),
        (("--lun", "8388608T"), "--lun '8388608T': expected less than 8388608T"),
        (("--lun", "disk:1M", "--lun", "5=./disk"), "--lun '5=./disk': LUN 0 has this file already"),
        (("--lun", "/:1M"), "--lun '/:1M': expected [N=]SIZE or [N=]FILE[:SIZE], as in 64M or disk.img:1G"),
        (("--lun", "511"), "--lun 511: size of the medium: expected at least one block of 512 bytes, got 0"),
        (("--chap", "somebody"), "--chap: expected USER:SECRET"),
        (("--mutual-chap", "a:b"), "--mutual-chap needs --chap too"),
        (("--discovery-chap",), "--discovery-chap needs --chap too"),
        (("-k", "InitialR2T"), "-k 'InitialR2T': expected KEY=VALUE"),
        (("-k", "InitalR2T=Yes"), "-k InitalR2T: no key that can be set here (did you mean InitialR2T?)"),
        (("-k", "HeaderDigest=None"), "-k HeaderDigest: no key that can be set here"),
        (("-k", "InitialR2T=yes"), "-k InitialR2T=yes: expected Yes or No"),
        (("-k", "MaxBurstLength=511"), "-k MaxBurstLength=511: expected a number from 512 to 16777215"),
        (("-k", "DefaultTime2Wait=3601"), "-k DefaultTime2Wait=3601: expected a number from 0 to 3600"),
        (
            ("-k", "FirstBurstLength=2048", "-k", "MaxBurstLength=1024"),
            "FirstBurstLength=2048: more than MaxBurstLength=1024",
        ),
        (("--quirk", "W21"), "no quirk is called 'W21' (did you mean W01?); see --list-quirks"),
        (
            ("--personality", "windows-server-2021"),
            "no quirk is called 'windows-server-2021' (did you mean windows-server-2012?); see --list-quirks",
        ),
    ],
)
def test_what_is_wrong_is_said(args: tuple[str, ...], message: str | None) -> None:
    said = error(*args)
    assert not said.startswith(NO_HOST)
    if message and "did you mean W" in message:
        assert "did you mean W" in said  # the nearest of several
    elif message:
        assert said == message


@pytest.mark.parametrize(
    "args",
    [
        ("--iqn", "eui.02004567A425678D"),
        ("--iqn", "naa.62004567BA64678D0123456789ABCDEF"),
        ("--lun", "512", "--lun", "7=1k", "--lun", "1GiB"),
        ("--chap", "a:b", "--chap", "c:d:e", "--mutual-chap", "t:s", "--discovery-chap"),
        ("-k", "MaxBurstLength=512"),
        ("-k", "MaxRecvDataSegmentLength=16777215", "-k", "ImmediateData=No", "-k", "MaxOutstandingR2T=65535"),
        ("--quirk", "W12", "--quirk", "W01", "--personality", "windows-server-2012"),
        ("--window", "1", "--nop-interval", "0.5", "--header-digest", "none", "--data-digest", "crc32c"),
    ],
)
def test_what_is_right_comes_as_far_as_listening(args: tuple[str, ...]) -> None:
    assert error(*args).startswith(NO_HOST)


def test_a_secret_is_in_no_message_and_may_come_from_the_environment() -> None:
    assert "hush" not in error("--chap", "hush")
    assert error("--mutual-chap", "t:s", env={"ISCSIPROXY_CHAP": "a:b"}).startswith(NO_HOST)
    assert error(env={"ISCSIPROXY_CHAP": "no colon"}) == "--chap: expected USER:SECRET"
    assert error(env={"ISCSIPROXY_MUTUAL_CHAP": "t:s"}) == "--mutual-chap needs --chap too"


def test_a_file_is_made_or_grown_but_never_cut(tmp_path: Path) -> None:
    disk = tmp_path / "disk:with:colons"
    assert error("--lun", f"{disk}:1M").startswith(NO_HOST)
    assert disk.stat().st_size == 1 << 20
    assert error("--lun", f"{disk}:2M").startswith(NO_HOST)
    assert disk.stat().st_size == 2 << 20
    assert error("--lun", f"{disk}:1M") == f"--lun {disk}: has 2097152 bytes, and would be cut to 1048576"
    assert disk.stat().st_size == 2 << 20
    assert error("--lun", str(disk), "--read-only").startswith(NO_HOST)


def test_quirks_and_personalities_are_listed() -> None:
    result = CliRunner().invoke(command, ["--list-quirks"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [*QUIRKS, *PERSONALITIES]
    assert all("(RFC 7143" in line for line in lines[: len(QUIRKS)])


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = program("target", "--listen", address)
    assert done.returncode == 2
    assert done.stderr == f"iscsiproxy: cannot listen at {address}: Address already in use\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well_with_connections_open(how: signal.Signals) -> None:
    with serving("--listen", ":0", "--listen", ":0", "--lun", "3=1M", "--lun", "2M", "--quirk", "W12") as (
        process,
        ready,
    ):
        assert ready["event"] == "ready"
        assert ready["pid"] == process.pid
        assert ready["luns"] == {"3": 1 << 20, "4": 2 << 20}
        assert ready["quirks"] == ["W12"]
        assert len(ready["listen"]) == 2
        portals = [(host, int(port)) for host, _, port in (portal.rpartition(":") for portal in ready["listen"])]
        for portal in portals:
            with socket.create_connection(portal) as initiator:
                initiator.sendall(bytes(10))
        with socket.create_connection(portals[0]) as initiator:
            process.send_signal(how)
            assert process.wait(10) == 0
            assert initiator.recv(1) == b""


def test_the_first_line_for_people_says_where_it_is_ready() -> None:
    with subprocess.Popen(
        (*PROGRAM, "target", "--listen", "[::1]:0", "--quirk", "W01", "-v"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready, deviates = process.stdout.readline(), process.stdout.readline()
        port = int(ready.split()[1].rpartition(":")[2])
        with socket.create_connection(("::1", port)) as initiator:
            initiator.shutdown(socket.SHUT_WR)
            assert initiator.recv(1) == b""
        connected, closed = process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert ready == f"ready listen=[::1]:{port} iqn=iqn.2026-01.example.iscsiproxy:target luns=0\n"
    assert deviates == f"deviates W01: {QUIRKS['W01'].summary()}\n"
    assert f"connected at [::1]:{port}" in connected
    assert closed.endswith("closed by the initiator\n")


def test_a_ping_interval_is_a_number() -> None:
    result = CliRunner().invoke(command, ["--nop-interval", "nan"])
    assert result.exit_code == 2
    assert "'nan' is not a number of seconds." in result.output
