"""Commands without a prompt."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from iscsiproxy.api.client import Unreachable
from iscsiproxy.console.batch import Printed, Script, lines_of, run_batch
from tests.console.fake import FakeProxy, event, rule
from tests.console.playing import run, until


def batch(
    proxy: FakeProxy, *lines: str, as_json: bool = False, colour: bool = False, width: int = 0, **script: bool
) -> tuple[int, list[str], list[str]]:
    """Do lines; give the status, and the lines of both outputs."""
    out, err = io.StringIO(), io.StringIO()

    async def main() -> int:
        async with proxy.client() as api:
            paper = Printed(out, err=err, as_json=as_json, colour=colour, width=width)
            return await run_batch(api, lines, paper, Script(**script))

    status = run(main())
    return status, out.getvalue().splitlines(), err.getvalue().splitlines()


def objects(lines: list[str]) -> list[Any]:
    return [json.loads(line) for line in lines]


def test_answers_are_printed_one_after_another() -> None:
    assert batch(FakeProxy(), "echo one", "# no command", "", "echo two") == (0, ["one", "two"], [])


def test_the_first_failure_ends_a_script() -> None:
    status, out, err = batch(FakeProxy(), "echo one", "kill 9", "echo two")
    assert (status, out) == (1, ["one"])
    assert err == ["  kill 9", "there is no connection 9"]


def test_a_script_may_go_on_behind_a_failure_and_fails_all_the_same() -> None:
    status, out, _ = batch(FakeProxy(), "kill 9", "echo two", keep_going=True)
    assert (status, out) == (1, ["two"])


def test_a_line_with_a_mistake_is_shown_once() -> None:
    _, _, err = batch(FakeProxy(), "kill 1 fim")
    assert err[:2] == ["  kill 1 fim", "         ^"]


def test_an_act_that_could_not_be_done_is_a_failure() -> None:
    status, out, _ = batch(FakeProxy(outcome="failed"), "close rst", "echo two")
    assert status == 1
    assert out[0].endswith("failed line-1/1: no PDU")
    assert len(out) == 1


def test_leaving_ends_a_script_well() -> None:
    assert batch(FakeProxy(), "echo one", "quit", "echo two") == (0, ["one"], [])


def test_json_has_an_object_for_each_command() -> None:
    status, out, err = batch(FakeProxy(rules_=[rule("a/1")]), "rules", "kill 9", as_json=True)
    answer, problem = objects(out)
    assert (status, err) == (1, [])
    assert answer["command"] == "rules"
    assert answer["answer"][0]["name"] == "a/1"
    assert problem["command"] == "kill 9"
    assert problem["problem"]["message"] == "there is no connection 9"


def test_json_has_an_object_for_each_event_that_is_watched() -> None:
    out = io.StringIO()
    proxy = FakeProxy()

    async def main() -> None:
        async with proxy.client() as api:
            going = asyncio.create_task(run_batch(api, ["watch count 1"], Printed(out, as_json=True), Script()))
            await until(lambda: bool(proxy.streams))
            proxy.tell(event(1, text="x" * 500))
            assert await going == 0

    run(main())
    watched, answer = objects(out.getvalue().splitlines())
    assert watched["command"] == "watch count 1"
    assert watched["event"]["text"] == "x" * 500
    assert answer["answer"] == {"shown": 1}


def test_lines_are_as_long_as_they_are_in_a_pipe_and_cut_on_a_terminal() -> None:
    proxy = FakeProxy(rules_=[rule("a/1", text="x" * 200)])
    assert len(batch(proxy, "rules")[1][1]) > 200
    assert len(batch(proxy, "rules", width=80)[1][1]) == 80


def test_colours_are_for_terminals() -> None:
    assert "\x1b[" not in "".join(batch(FakeProxy(), "sessions")[1])
    assert "\x1b[1m" in "".join(batch(FakeProxy(), "sessions", colour=True)[1])


def test_what_may_corrupt_data_needs_a_yes() -> None:
    assert batch(FakeProxy(scratch=False), "drop Data-Out")[0] == 1
    assert batch(FakeProxy(scratch=False), "drop Data-Out", yes=True)[0] == 0


def test_what_passed_before_a_script_came_to_wait_is_not_missed() -> None:
    """PDUs are kept only while somebody wants them."""
    proxy = FakeProxy()
    batch(proxy, "echo one", "wait R2T for 10ms")
    assert proxy.asked.index("events") < proxy.asked.index("events", proxy.asked.index("events") + 1)
    proxy = FakeProxy()
    batch(proxy, "echo one")
    assert "events" not in proxy.asked


def test_a_proxy_that_is_not_there_is_told() -> None:
    with pytest.raises(Unreachable):
        batch(FakeProxy(gone=True), "echo one")


def test_lines_of_a_pipe_are_done_as_they_come() -> None:
    reading, writing = os.pipe()
    out = io.StringIO()

    async def main() -> int:
        with os.fdopen(reading) as pipe, os.fdopen(writing, "w") as typing:
            async with FakeProxy().client() as api:
                lines = lines_of(pipe, ["echo first"])
                going = asyncio.create_task(run_batch(api, lines, Printed(out), Script()))
                for text in ("one", "two"):
                    typing.write(f"echo {text}\n")
                    typing.flush()
                    await until(lambda text=text: text in out.getvalue())  # type: ignore[misc]
                typing.close()
                return await going

    assert run(main()) == 0
    assert out.getvalue().splitlines() == ["first", "one", "two"]


def test_a_pipe_is_left_as_it_was() -> None:
    reading, writing = os.pipe()

    async def main() -> None:
        with os.fdopen(reading) as pipe, os.fdopen(writing, "w") as typing:
            typing.write("one\ntwo\n")
            typing.flush()
            lines: AsyncGenerator[str, None] = lines_of(pipe)
            assert await anext(lines) == "one\n"
            await lines.aclose()
            assert os.get_blocking(pipe.fileno())

    run(main())


def test_the_prompt_is_not_imported_for_a_script() -> None:
    code = "import iscsiproxy.console.batch, sys; sys.exit('prompt_toolkit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
