from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import trio

from iscsiproxy.errors import InternalError, UsageError
from iscsiproxy.testing.backstage import Backstage
from iscsiproxy.testing.settings import Settings

__all__: list[str] = []


@pytest.fixture
def started() -> Iterator[Backstage]:
    backstage = Backstage(Settings())
    backstage.start()
    yield backstage
    backstage.close()


async def _thread() -> str:
    await trio.lowlevel.checkpoint()
    return threading.current_thread().name


def test_what_is_asked_is_done_in_the_thread(started: Backstage) -> None:
    assert started.call(_thread) == "iscsiproxy"
    assert "unarmed" in repr(started)


def test_what_is_asked_raises_what_it_raises(started: Backstage) -> None:
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise UsageError("no")

    with pytest.raises(UsageError, match=r"^no$"):
        started.call(fail)
    assert started.call(_thread) == "iscsiproxy", "and the thread goes on"


def _broken() -> Backstage:
    """Start one, and let something in it break."""
    backstage = Backstage(Settings())
    backstage.start()

    async def fail() -> None:
        raise ZeroDivisionError("a bug")

    async def plant() -> None:
        assert backstage._nursery is not None
        backstage._nursery.start_soon(fail)
        await trio.sleep_forever()

    with pytest.raises(InternalError, match=r"the proxy has ended: ZeroDivisionError\('a bug'\)"):
        backstage.call(plant)
    return backstage


def test_an_error_in_the_thread_is_raised_by_what_is_asked_next_and_at_the_end() -> None:
    backstage = _broken()
    with pytest.raises(InternalError, match="the proxy has ended"):
        backstage.call(_thread)
    with pytest.raises(ZeroDivisionError):
        backstage.close()
    backstage.close()  # it was told
    with pytest.raises(InternalError, match=r"the proxy has ended$"):
        backstage.call(_thread)
    assert backstage.findings() == ()


def test_one_that_is_not_ready_yet_ends_at_once() -> None:
    # Nobody answers a login there, and it would be waited for.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backstage = Backstage(Settings(target=f"127.0.0.1:{silent.getsockname()[1]}"))
        starting = threading.Thread(target=backstage.start)
        starting.start()
        with silent.accept()[0]:
            backstage.close()
        starting.join(20)
        assert not starting.is_alive()
    assert "ended" in repr(backstage)


def test_one_that_was_never_started_has_nothing_to_end() -> None:
    Backstage(Settings()).close()


def test_a_crash_that_cost_one_connection_only_is_told_at_the_end() -> None:
    backstage = Backstage(Settings())
    backstage.start()
    assert backstage.target is not None
    backstage.target.crashes.append(ZeroDivisionError("a bug"))
    with pytest.raises(InternalError, match="1 crashes behind the test"):
        backstage.close()
    assert "ended" in repr(backstage)
