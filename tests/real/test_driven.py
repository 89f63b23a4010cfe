"""A proxy driven live, between QEMU and tgtd, with iscsi-perf at work all the time."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from iscsiproxy.api.client import AsyncClient
from iscsiproxy.api.models import Held
from tests.real import initiators
from tests.real.process import run, running
from tests.real.proxied import running_proxy
from tests.real.tgtd import MIB, Tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu")

_BLOCK = 512
#: Where QEMU writes, and where that is made to land, in blocks; iscsi-perf only reads
_FROM, _TO = 4 * MIB // _BLOCK, 8 * MIB // _BLOCK


@asynccontextmanager
async def driven(tgtd: Tgtd, *options: str) -> AsyncIterator[tuple[AsyncClient, str, int]]:
    """Run a proxy under load; give its API, and where it is."""
    async with running_proxy(tgtd, "--scratch", *options) as proxy, AsyncClient(proxy.ready["api"]) as api:
        through, log = tgtd.address(host=proxy.host, port=proxy.port), tgtd.directory / "perf.log"
        async with running("iscsi-perf", "-m", "4", "-b", "8", "-t", "60", through.url, log=log):
            await until_pdus(api, 200)
            yield api, proxy.host, proxy.port
            assert (await api.proxy()).internal_errors == ()


async def until_pdus(api: AsyncClient, more: int) -> None:
    """Wait until so many more PDUs have passed: the load is there, and goes on."""
    first = (await api.proxy()).pdus
    with trio.fail_after(10):
        while (await api.proxy()).pdus < first + more:
            await trio.sleep(0.02)


async def held_one(api: AsyncClient) -> Held:
    """Wait until something is held."""
    with trio.fail_after(10):
        while not (held := await api.held()):
            await trio.sleep(0.02)
    return held[0]


async def test_a_WRITE_of_QEMU_is_held_changed_and_lands_elsewhere(tgtd: Tgtd) -> None:
    async with driven(tgtd) as (api, host, port), trio.open_nursery() as nursery:
        through = tgtd.address(host=host, port=port)
        await api.arm(line=f"hold SCSI-Command where W and CDB.LBA == {_FROM} nth 1")
        outcome = []

        async def write() -> None:
            outcome.append(await initiators.qemu_io(through, f"write -P 0xa5 {_FROM * _BLOCK} 4k"))

        nursery.start_soon(write)
        one = await held_one(api)
        assert one.label == "SCSI-Command"
        assert f"LBA={_FROM} " in one.summary
        assert one.timer is not None
        assert not outcome, "QEMU waits for its status"
        await until_pdus(api, 200)  # the other connection goes on meanwhile
        changed = await api.edit(one.n, acts=f"set CDB.LBA={_TO}")
        assert changed.changes == (f"CDB.LBA {_FROM} -> {_TO}",)
        await api.release(one.n)
        with trio.fail_after(10):
            while not outcome:
                await trio.sleep(0.02)
        outcome[0].check()
    # Straight to the target, and in the file behind it:
    (await initiators.qemu_io(tgtd.at, f"read -P 0xa5 {_TO * _BLOCK} 4k", f"read -P 0 {_FROM * _BLOCK} 4k")).check()
    medium = tgtd.lun_files[0].read_bytes()
    assert medium[_TO * _BLOCK : _TO * _BLOCK + 4096] == b"\xa5" * 4096
    assert medium[_FROM * _BLOCK : _FROM * _BLOCK + 4096] == bytes(4096)


async def test_the_session_of_the_README_is_what_the_console_does(tgtd: Tgtd, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(\$ iscsiproxy run .*? --console .*?)^```$", readme, re.MULTILINE | re.DOTALL)
    typed = re.findall(r"^iscsi> (.+)$", shown, re.MULTILINE)
    assert [line.split()[0] for line in typed] == ["hold", "held", "edit", "release", "inject", "kill"]
    script = tmp_path / "session"
    async with running_proxy(tgtd) as proxy, AsyncClient(proxy.ready["api"]) as api, trio.open_nursery() as nursery:
        through = tgtd.address(host=proxy.host, port=proxy.port)

        async def play(*lines: str) -> str:
            script.write_text("\n".join(lines), encoding="utf-8")
            command = ("-m", "iscsiproxy", "console", proxy.ready["api"], "--yes", "-f", str(script))
            return (await run(sys.executable, *command)).check().stdout

        printed = await play(typed[0])
        nursery.start_soon(initiators.qemu_io, through, "write -P 0xa5 0 4k", "sleep 60000")
        await held_one(api)
        printed += await play(*typed[1:])
        nursery.cancel_scope.cancel()

    def form(line: str) -> str:
        return re.sub(r"0x[0-9a-f]+|[0-9]+", "#", line.strip().removesuffix("…"))

    found = [form(line) for line in printed.splitlines()]
    answers = [line for line in shown.splitlines() if re.match(r"armed|edited|released|sent|answer|connection", line)]
    assert len(answers) == 6
    for line in answers:
        assert any(one.startswith(form(line).partition(" (CDB")[0]) for one in found), (line, printed)


async def test_a_fault_is_armed_under_load_and_strikes_once(tgtd: Tgtd) -> None:
    async with driven(tgtd) as (api, _, _):
        armed = await api.arm(line="delay 300ms SCSI-Command where R nth 50")
        events = api.events(since=armed.n)
        with trio.fail_after(10):
            async for event in events:
                if event.event == "fired":
                    break
        await events.aclose()
        await until_pdus(api, 200)
        (rule,) = await api.rules()
        assert (rule.fired, rule.armed) == (1, True)
        await api.remove(armed.scenario)
        assert await api.rules() == ()


async def test_a_ping_of_ours_is_answered_and_nobody_else_sees_it(tgtd: Tgtd) -> None:
    async with driven(tgtd, "--check") as (api, _, _):
        ((conn,),) = [one.connections for one in await api.sessions()]
        to_target = await api.inject(pdu="NOP-Out data=0x01020304", conn=conn)
        assert to_target.sent is not None
        assert to_target.answer is not None
        assert (to_target.answer.label, to_target.answer.leg) == ("NOP-In", "target")
        to_initiator = await api.inject(pdu="NOP-In TTT=0x12345678", conn=conn)
        assert to_initiator.answer is not None
        assert (to_initiator.answer.label, to_initiator.answer.leg) == ("NOP-Out", "initiator")
        assert {"name": "TTT", "value": 0x12345678} in [
            {"name": one.name, "value": one.value} for one in to_initiator.answer.fields
        ]
        await until_pdus(api, 200)
        session = (await api.sessions())[0]
        # What was sent besides was immediate, and used up no number.
        assert session.initiator.CmdSN == session.target.CmdSN
        musts = [one.text for one in (await api.findings()).findings if one.severity == "MUST"]
        assert not [text for text in musts if "StatSN" in text or "CmdSN" in text]


async def test_an_idle_session_of_QEMU_that_nobody_has_looked_at_is_asked_at_once(tgtd: Tgtd) -> None:
    log = tgtd.directory / "qemu.log"
    orders = ("-c", "read 0 4k", "-c", "sleep 20000")
    async with running_proxy(tgtd) as proxy:
        through = tgtd.address(host=proxy.host, port=proxy.port)
        async with running("stdbuf", "-oL", "qemu-io", *orders, *through.image_opts(), log=log):
            with trio.fail_after(10):
                while "read 4096/4096" not in log.read_text():
                    await trio.sleep(0.02)
            async with AsyncClient(proxy.ready["api"]) as api:
                (session,) = await api.sessions()
                assert session.initiator.CmdSN == session.target.CmdSN is not None
                for pdu, answer in (("NOP-In TTT=1", "NOP-Out"), ("NOP-Out", "NOP-In")):
                    asked = await api.inject(pdu=pdu)
                    assert asked.answer is not None
                    assert asked.answer.label == answer
                assert (await api.proxy()).internal_errors == ()


async def test_a_connection_is_killed_and_the_load_comes_back(tgtd: Tgtd) -> None:
    async with driven(tgtd) as (api, _, _):
        ((conn,),) = [one.connections for one in await api.sessions()]
        killed = await api.kill(conn, how="rst")
        assert killed.id == conn
        with trio.fail_after(20):
            while [one.id for one in await api.connections()] in ([], [conn]):
                await trio.sleep(0.05)
        await until_pdus(api, 200)
