from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.testing import Proxy
from tests.testing.traffic import SEEN, write_and_read

__all__: list[str] = []


def test_a_run_says_how_far_it_is(tmp_path: Path) -> None:
    with Proxy(folder=tmp_path) as proxy:
        with proxy.armed(SEEN) as run:
            assert repr(run) == "<Run seen: not over>"
            assert [run.over, run.wait(0)] == [False, False]
            with pytest.raises(UsageError, match="seen has no verdict yet: it is judged at the end of the block"):
                _ = run.result
            write_and_read(proxy.url)
        assert repr(run) == "<Run seen: pass>"
        assert run.wait(0), "there is nothing more to wait for"
        assert (run.folder, run.journal) == (tmp_path / "seen", tmp_path / "seen" / "journal.jsonl")
        run.tell("good")
        with pytest.raises(UsageError, match="not 'fine'"):
            run.tell("fine")  # type: ignore[arg-type] # that is the point


def test_without_a_folder_nothing_is_kept() -> None:
    with Proxy() as proxy:
        with proxy.armed(SEEN) as run:
            write_and_read(proxy.url)
        assert (run.folder, run.journal) == (None, None)
        assert run.result.files == {}
