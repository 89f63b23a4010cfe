"""What the page of the API shows is so: its commands run, and print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from iscsiproxy.api.client import AsyncClient
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from tests.api.page import PAGE
from tests.real.embedded import running_target
from tests.real.process import run
from tests.real.proxied import running_proxy
from tests.real.served import Served, serving

__all__: list[str] = []

README = PAGE.read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TOKEN = "a-token"
_RUN = ("run", "--listen", "127.0.0.1:0", "--target")


def shown_commands() -> list[tuple[str, str]]:
    """Give each command that is shown, with what it prints."""
    found: list[tuple[str, str]] = []
    for kind, text in BLOCKS:
        if kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                found.append((command, shown.strip()))
    return found


def fits(shown: str, printed: str) -> bool:
    """Tell whether something was printed as it is shown: `[…]` is anything, and numbers may be others."""
    pattern = re.escape(shown).replace(re.escape("[…]"), ".*")
    pattern = re.sub(r"[0-9]+(\\\.[0-9]+)*", r"[0-9.]+", pattern.replace("0x", r"(0x)?"))
    return re.fullmatch(pattern + (".*" if shown.endswith("[…]") else ""), printed.strip(), re.DOTALL) is not None


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ('{"n":1,[…]"x":[]}', '{"n":27,"at":1.5,"x":[]}', True),
        ('{"n":1,[…]', '{"n":27,"at":1.5,"x":[]}', True),
        ("127.0.0.1:80", "10.0.0.7:3260", True),
        ('{"n":1}', '{"n":1,"x":2}', False),
        ("[]", "[{}]", False),
        ('{"a":1}', '{"b":1}', False),
    ],
)
def test_how_it_is_compared(shown: str, printed: str, right: bool) -> None:
    assert fits(shown, printed) is right


def patient(command: str) -> str:
    """Give what waits, as people would, until there is something held."""
    return f"until {command}; [ $HELD != '[]' ]; do sleep 0.01; done" if command.startswith("HELD=") else command


async def work(session: Session) -> None:
    while True:
        await session.command(0, commands.test_unit_ready())
        await trio.sleep(0.01)


async def test_the_commands_print_what_the_page_shows(tmp_path: Path) -> None:
    api = tmp_path / "api.sock"
    told = [(command, shown) for command, shown in shown_commands() if not command.startswith("iscsiproxy")]
    # A byte that is in no answer stands between what the commands print.
    script = "\n".join(f"{patient(command)}\nprintf '\\0'" for command, _ in told)
    async with running_target() as target:
        at = f"{target.host}:{target.port}"
        async with (
            running_proxy(at, "--api", str(api)) as proxy,
            serving(Served, *_RUN, at, "--api", "127.0.0.1:0", env={"ISCSIPROXY_TOKEN": TOKEN}) as other,
            open_session((proxy.host, proxy.port), InitiatorSettings(target=target.iqn)) as session,
            AsyncClient(api) as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(work, session)
            while (await client.sessions())[0].target.CmdSN is None:
                await trio.sleep(0.01)
            assert proxy.ready["api"] == str(api)
            assert other.ready["token"] == TOKEN
            script = script.replace("http://127.0.0.1:8080", other.ready["api"])
            environment = {"API": str(api), "ISCSIPROXY_TOKEN": TOKEN}
            finished = (await run("bash", "-c", script, env=environment)).check()
            (example,), (output,) = ([text for kind, text in BLOCKS if kind == one] for one in ("python", "text"))
            (path,) = re.findall(r'Client\("(.*)"\)', example)
            ran = (await run(sys.executable, "-W", "error", "-c", example.replace(path, str(api)))).check()
            assert ran.stdout == output
            nursery.cancel_scope.cancel()
    printed = finished.stdout.split("\0")
    assert len(printed) == len(told) + 1
    assert len(told) >= 17
    wrong = [
        f"$ {command}\n{out}\n--- shown:\n{shown}"
        for (command, shown), out in zip(told, printed, strict=False)
        if not fits(shown, out)
    ]
    assert not wrong, "\n\n".join(wrong)


def test_a_run_says_where_its_api_is(tmp_path: Path) -> None:
    (shown,) = [shown for command, shown in shown_commands() if command.startswith("iscsiproxy run")]
    command = [sys.executable, "-m", "iscsiproxy", "run", "--listen", ":0", "--target", "localhost:1"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline().strip() for _ in shown.splitlines()]
        finally:
            process.terminate()
    assert lines[1] == f"api {tmp_path}/iscsiproxy/{process.pid}.sock"
    assert fits(shown.replace("storage", "localhost").replace("/run/user/1000", str(tmp_path)), "\n".join(lines))
