from __future__ import annotations

import os
import sys
import tempfile

import pytest
import trio

from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.quirks import PERSONALITIES
from iscsiproxy.proxy import Address
from iscsiproxy.runs.disks import find_disks
from iscsiproxy.runs.targets import BLOCK, BLOCKS, IQN, UNITS, child, masked, opened, parse_target

__all__: list[str] = []

_LISTENER = """
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
time.sleep(60)
"""


def test_the_embedded_one_with_its_quirks() -> None:
    assert parse_target("embedded").quirks == ()
    assert parse_target("embedded:W10,tgt-holes").quirks == ("W10", "tgt-holes")
    everything = parse_target("embedded:windows-server-2012")
    assert everything.quirks == PERSONALITIES["windows-server-2012"]
    with pytest.raises(UsageError, match=r"no quirk is called 'W99' \(did you mean W19\?\)"):
        parse_target("embedded:W99")


def test_a_target_of_ours_with_a_slip_is_no_host() -> None:
    with pytest.raises(UsageError, match=r"--target embeded:W12: did you mean embedded:W12\?"):
        parse_target("embeded:W12")
    assert parse_target("embeded:3261").address == Address("embeded", 3261)


def test_an_address() -> None:
    spec = parse_target("storage")
    assert (spec.kind, spec.address, spec.name, spec.lun) == ("external", Address("storage", 3260), None, None)
    assert parse_target("[::1]:3261").address == Address("::1", 3261)
    assert parse_target(":3261").address == Address("127.0.0.1", 3261)


def test_a_URL_keeps_its_password_to_itself() -> None:
    spec = parse_target("iscsi://me%open-sesame@host:3261/iqn.x:y/3")
    assert (spec.kind, spec.address, spec.name, spec.lun) == ("external", Address("host", 3261), "iqn.x:y", 3)
    assert spec.credentials == "me%open-sesame"
    assert spec.account is not None
    assert (spec.account.name, spec.account.secret) == ("me", b"open-sesame")
    assert spec.shown == "iscsi://host:3261/iqn.x:y/3"
    assert "sesame" not in repr(spec)
    assert parse_target("iscsi://host").shown == "iscsi://host:3260"


@pytest.mark.parametrize("text", ["tgtd-for-test --portal {portal}", "command:tgtd-for-test --portal {portal}"])
def test_a_command(text: str) -> None:
    spec = parse_target(text)
    assert (spec.kind, spec.argv) == ("command", ("tgtd-for-test", "--portal", "{portal}"))


@pytest.mark.parametrize("text", ["command:tgtd -f", "command:x '{port}", "command:", "", "iscsi://"])
def test_what_cannot_be_a_target(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)


def test_passwords_in_command_lines_are_masked() -> None:
    assert masked("x iscsi://me%secret@h/i/0 y") == "x iscsi://me%***@h/i/0 y"
    assert masked("iscsi://h/i/0 100%@x") == "iscsi://h/i/0 100%@x"


async def test_the_embedded_one_is_there_and_gone() -> None:
    with trio.fail_after(10):
        async with opened(parse_target("embedded")) as target:
            portal = (target.address.host, target.address.port)
            async with open_session(portal, InitiatorSettings(target=target.name)) as session:
                disks = await find_disks(session)
    assert target.name == IQN
    assert [(disk.lun, disk.blocks, disk.block_size) for disk in disks] == [(n, BLOCKS, BLOCK) for n in range(UNITS)]
    with pytest.raises(OSError):
        await trio.open_tcp_stream(*portal)


@pytest.mark.parametrize("first_wait", [True, False])
async def test_whoever_wants_to_send_a_little_unasked_may(first_wait: bool) -> None:
    with trio.fail_after(10):
        async with opened(parse_target("embedded")) as target:
            portal = (target.address.host, target.address.port)
            settings = InitiatorSettings(target=target.name, initial_r2t=first_wait)
            async with open_session(portal, settings) as session:
                agreed = session.parameters
    assert (agreed.initial_r2t, agreed.immediate_data, agreed.first_burst_length) == (first_wait, True, 16384)


async def test_a_command_is_started_waited_for_and_ended() -> None:
    spec = parse_target(f"command:{sys.executable} -c '{_LISTENER}' {{port}}")
    with trio.fail_after(20):
        async with opened(spec) as target:
            await (await trio.open_tcp_stream(target.address.host, target.address.port)).aclose()
        with pytest.raises(OSError):
            await trio.open_tcp_stream(target.address.host, target.address.port)


async def test_a_command_that_ends_at_once_says_why() -> None:
    spec = parse_target(f"command:{sys.executable} -c 'raise SystemExit(\"no disk\")' {{port}}")
    with trio.fail_after(20), pytest.raises(PeerError, match=r"ended with status 1 before it listened: no disk"):
        async with opened(spec):
            pass


async def test_a_command_that_is_not_there() -> None:
    with tempfile.TemporaryFile() as log, pytest.raises(UsageError, match=r"^cannot run /nowhere/x: No such file"):
        async with child(["/nowhere/x", "secret"], log):
            pass


async def test_what_a_command_has_started_ends_with_it() -> None:
    reading, writing = os.pipe()
    async with trio.lowlevel.FdStream(reading) as output:
        with os.fdopen(writing, "wb") as log, trio.fail_after(10):
            async with child(["sh", "-c", "sleep 1000 & echo ready; wait"], log):
                assert await output.receive_some() == b"ready\n"
        with trio.fail_after(5):  # both had its other end; that of a process that lives would stay open
            assert await output.receive_some() == b""
