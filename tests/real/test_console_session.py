"""The session that ships as an example: it runs as it stands, and what it saves runs without a console."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from iscsiproxy.api.client import AsyncClient
from tests.real.process import Finished, run
from tests.real.served import MODULE, Served, serving
from tests.real.tgtd import Tgtd

__all__: list[str] = []

_SESSION = Path(__file__).parents[2] / "examples" / "console-session.txt"


async def program(*words: str, cwd: Path) -> Finished:
    return await run(sys.executable, *MODULE, *words, cwd=cwd, within=60)


async def played(target: str, lun: str, folder: Path, *options: str) -> str:
    """Play the session under the load of our own initiator; give what it printed."""
    command = ("run", "--listen", "127.0.0.1:0", "--target", target, "--scratch", *options)
    async with serving(Served, *command) as proxy, trio.open_nursery() as nursery:
        nursery.start_soon(load, f"iscsi://{proxy.host}:{proxy.port}{lun}", folder)
        while proxy.alive and not await is_busy(proxy.ready["api"]):
            await trio.sleep(0.05)
        shown = (await program("console", proxy.ready["api"], "-f", str(_SESSION), cwd=folder)).check().stdout
        nursery.cancel_scope.cancel()
    return shown


async def load(url: str, folder: Path) -> None:
    """Write and read until cancelled."""
    await program("initiator", "io", url, "--scratch", "--depth", "4", "--seconds", "50", cwd=folder)


async def is_busy(api: str) -> bool:
    async with AsyncClient(api) as client:
        return any(one.outstanding for one in await client.sessions())


async def saved_passes(folder: Path, shown: str) -> None:
    assert "edited" in shown
    assert "CDB.LBA" in shown
    assert "answer" in shown
    (await program("faults", "lint", "held_and_moved.yaml", cwd=folder)).check()
    judged = (await program("test", "held_and_moved.yaml", "--seed", "1", cwd=folder)).check()
    assert "1 pass" in judged.stdout


async def test_it_runs_between_the_embedded_peers(tmp_path: Path) -> None:
    async with serving(Served, "target", "--listen", "127.0.0.1:0", "--lun", "64M") as target:
        shown = await played(f"{target.host}:{target.port}", "", tmp_path, "--check")
    await saved_passes(tmp_path, shown)


@pytest.mark.peers("tgtd")
async def test_it_runs_on_tgtd(tgtd: Tgtd, tmp_path: Path) -> None:
    shown = await played(f"{tgtd.host}:{tgtd.port}", f"/{tgtd.iqn}/1", tmp_path)
    await saved_passes(tmp_path, shown)
