from __future__ import annotations

import os
import sys

import pytest
import trio

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy import Address
from iscsiproxy.runs.initiators import Ended, filled, parse_initiator, run_command

__all__: list[str] = []

_PORTAL = Address("127.0.0.1", 3261)


def test_ours_theirs_and_a_command() -> None:
    assert parse_initiator("embedded").kind == "embedded"
    assert parse_initiator("embedded:libiscsi-a-bit").quirks == ("libiscsi-a-bit",)
    assert parse_initiator("external").kind == "external"
    spec = parse_initiator("qemu-io -f raw -c 'write 0 1M' {url}")
    assert (spec.kind, spec.argv) == ("command", ("qemu-io", "-f", "raw", "-c", "write 0 1M", "{url}"))
    assert parse_initiator("command:iscsi-ls iscsi://{portal}").argv == ("iscsi-ls", "iscsi://{portal}")


def test_what_has_to_be_told_the_name_of_the_target() -> None:
    assert parse_initiator("x {url}").needs_name
    assert parse_initiator("x {portal} {iqn}").needs_name
    assert not parse_initiator("x {portal}").needs_name


@pytest.mark.parametrize("text", ["", "iscsi-ls", "embedded:nobody", "x '{url}"])
def test_what_cannot_be_an_initiator(text: str) -> None:
    with pytest.raises(UsageError):
        parse_initiator(text)


def test_the_words_are_filled_in() -> None:
    argv = ("{portal}", "{host}", "{port}", "{iqn}", "{lun}", "-u={url}", "{other}")
    assert filled(argv, portal=_PORTAL, name="iqn.x", lun=2) == (
        "127.0.0.1:3261",
        "127.0.0.1",
        "3261",
        "iqn.x",
        "2",
        "-u=iscsi://127.0.0.1:3261/iqn.x/2",
        "{other}",
    )
    assert filled(["{url}"], portal=_PORTAL, name="iqn.x", lun=None) == ("iscsi://127.0.0.1:3261/iqn.x/0",)
    assert filled(["{url}"], portal=_PORTAL, name=None, lun=None) == ("iscsi://127.0.0.1:3261",)


def test_only_the_URL_has_the_password_and_only_if_there_is_one() -> None:
    argv = ("{url}", "{portal}")
    assert filled(argv, portal=_PORTAL, name="i", lun=0, credentials="me%sesame") == (
        "iscsi://me%sesame@127.0.0.1:3261/i/0",
        "127.0.0.1:3261",
    )
    assert "sesame" not in parse_initiator("x iscsi://me%sesame@{portal}").shown
    assert "sesame" not in repr(parse_initiator("x iscsi://me%sesame@{portal}"))


async def test_a_command_is_run_and_its_last_words_are_kept() -> None:
    script = "import sys; print('I know open-sesame'); sys.exit(3)"
    with trio.fail_after(20):
        ended = await run_command((sys.executable, "-c", script), environment=os.environ, secret="open-sesame")
    assert ended == Ended(status=3, said="I know ***")
    assert ended.text == "exit status 3: I know ***"


async def test_a_command_that_is_given_up_is_ended() -> None:
    with trio.fail_after(20):
        with trio.move_on_after(0.2) as scope:
            await run_command((sys.executable, "-c", "import time; time.sleep(60)"), environment=os.environ)
        assert scope.cancelled_caught
