"""The page of what to type on each end: its commands for QEMU and libiscsi do go through the proxy."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.real.process import run
from tests.real.proxied import running_proxy
from tests.real.tgtd import MIB, Tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu")

_PAGE = (Path(__file__).parents[2] / "examples" / "initiators.md").read_text(encoding="utf-8")


def commands(heading: str) -> list[str]:
    """Give the commands of a section of the page."""
    section = re.split(r"^## ", _PAGE, flags=re.MULTILINE)
    (text,) = [one for one in section if one.startswith(f"{heading}\n")]
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("command", [*commands("QEMU"), *commands("libiscsi")])
async def test_a_command_of_the_page_goes_through_the_proxy(command: str, tgtd: Tgtd, tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(b"\x5a" * MIB)
    async with running_proxy(tgtd, "-v") as proxy:
        line = command.replace("PROXY:3261", f"{proxy.host}:{proxy.port}").replace(
            "iqn.2004-01.com.example:disk", tgtd.iqn
        )
        name, *words = shlex.split(re.sub(r"-t 10 ", "-t 1 ", line))
        (await run(name, *words, cwd=tmp_path, within=60)).check()
        assert proxy.named("fullfeature"), "it went round the proxy"
