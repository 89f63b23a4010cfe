"""An initiator for plain tests, and a fault that it meets."""

from __future__ import annotations

from typing import Final

import trio

from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.conduct import with_quirks
from iscsiproxy.peers.initiator.quirks import QUIRKS
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.initiator.url import parse_url

__all__ = ["HOLE", "SEEN", "read", "write", "write_and_read"]

#: So large that a write to the embedded target is asked for, and comes in several Data-Outs
BLOCKS: Final = 128
BLOCK: Final = 512

_TIMES = "timing: {quiet: 20ms, hang: 2s, within: 500ms}"
#: One Data-Out never arrives, and the target must not say GOOD
HOLE: Final = f"""
    scenario: hole
    victim: target
    {_TIMES}
    rules:
      - name: hole
        when: Data-Out where DataSN == 2 nth 1 as lost
        do: drop
    expect:
      - never: SCSI-Response of lost where Status == GOOD
        within: 300ms
"""
#: Breaks nothing, and expects nothing
SEEN: Final = f"""
    scenario: seen
    victim: target
    {_TIMES}
    rules:
      - name: write
        when: SCSI-Command where W nth 1
        do: {{note: here}}
"""


async def _io(url: str, *, write: bool, read: bool, quirk: str = "") -> list[bool]:
    to = parse_url(url)
    good = []
    data = b"\xa5" * (BLOCKS * BLOCK)
    with trio.fail_after(20):
        settings = InitiatorSettings(target=to.target, account=to.account)
        conduct = with_quirks([QUIRKS[quirk]] if quirk else [])
        async with open_session(to.portal, settings, conduct=conduct) as session:
            # A new session is told that it is one, by the first command that may be.
            await session.command(to.lun, commands.test_unit_ready())
            if write:
                good.append((await session.command(to.lun, commands.write10(0, BLOCKS), data_out=data)).good)
            if read:
                back = await session.command(to.lun, commands.read10(0, BLOCKS), read_length=len(data))
                good.append(back.good and back.data == data)
    return good


def write(url: str) -> bool:
    """Write 64 KiB in a session; tell whether the target said GOOD."""
    return trio.run(lambda: _io(url, write=True, read=False)) == [True]


def read(url: str) -> bool:
    """Read them; tell whether they are what was written."""
    return trio.run(lambda: _io(url, write=False, read=True)) == [True]


def write_and_read(url: str, *, quirk: str = "") -> list[bool]:
    """Do both in one session, and tell of each whether it went well; `quirk` is what the initiator gets wrong."""
    return trio.run(lambda: _io(url, write=True, read=True, quirk=quirk))
