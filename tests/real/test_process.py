from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio

from tests.real.peers import MissingProgramError
from tests.real.process import ProgramError, kill, run, running

__all__: list[str] = []


async def test_all_that_was_printed_is_kept() -> None:
    finished = await run("sh", "-c", "echo one; echo two >&2; exit 3")
    assert (finished.returncode, finished.stdout, finished.stderr) == (3, "one\n", "two\n")
    assert not finished.ok
    assert not finished.timed_out
    with pytest.raises(ProgramError, match=r"(?s)status 3.*one\ntwo"):
        finished.check()


async def test_success_is_checked_to_itself() -> None:
    finished = await run("true")
    assert finished.ok
    assert finished.check() is finished


async def test_a_program_that_does_not_end_is_killed_and_heard() -> None:
    finished = await run("sh", "-c", "echo begun; exec sleep 1000", within=0.2)
    assert finished.timed_out
    assert not finished.ok
    assert finished.stdout == "begun\n"
    assert finished.returncode < 0
    with pytest.raises(ProgramError, match="did not end in time"):
        finished.check()


async def test_a_caller_who_is_cancelled_leaves_no_program_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "sh", "-c", f"echo $$ > {pid_file}; exec sleep 1000")
            with trio.fail_after(10):
                while not pid_file.is_file() or not pid_file.read_text():
                    await trio.sleep(0.005)
            scope.cancel()
    assert not Path("/proc", pid_file.read_text().strip()).exists()


async def test_output_larger_than_a_pipe_does_not_block() -> None:
    finished = await run("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x")
    assert len(finished.stdout) == 1_000_000


async def test_the_environment_is_ours_without_what_meddles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBISCSI_CHAP_USERNAME", "somebody")
    monkeypatch.setenv("KEPT", "kept")
    finished = await run("env", env={"ADDED": "added"})
    assert "KEPT=kept\n" in finished.stdout
    assert "ADDED=added\n" in finished.stdout
    assert "LIBISCSI" not in finished.stdout


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingProgramError, match="no-such-program is not installed"):
        await run("no-such-program")


async def test_a_program_that_stays_is_killed_at_the_end_of_its_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running("sh", "-c", "trap '' TERM INT; echo up; exec sleep 1000", log=log) as process:
        with trio.fail_after(10):
            while log.read_text() != "up\n":
                await trio.sleep(0.005)
        assert process.poll() is None
    assert process.poll() == -9
    await kill(process)


async def test_standard_output_can_be_the_callers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running("sh", "-c", "echo said; echo logged >&2", log=log, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert await process.stdout.receive_some() == b"said\n"
        await process.wait()
    assert log.read_text() == "logged\n"
