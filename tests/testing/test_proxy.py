from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from iscsiproxy.errors import FileError, PeerError, UsageError
from iscsiproxy.testing import Proxy
from tests.testing.traffic import HOLE, SEEN, read, write, write_and_read

__all__: list[str] = []

#: Asks for what nobody has
_UNHAD = SEEN + "    needs: [target.LUs >= 100]\n"
_UNSETTLED = SEEN + "    needs: [key.MaxConnections >= 2]\n"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(seed=1, folder=tmp_path) as proxy:
        yield proxy


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "iscsiproxy"]


# --- where it is ---------------------------------------------------------------------------------------------------


def test_the_address_is_the_same_before_in_and_behind_every_block(proxy: Proxy) -> None:
    url = proxy.url
    assert (
        url == f"iscsi://{proxy.host}:{proxy.port}/{proxy.iqn}/{proxy.lun}" == f"iscsi://{proxy.portal}/{proxy.iqn}/0"
    )
    assert write_and_read(url) == [True, True]
    for _ in range(2):
        with proxy.armed(SEEN):
            assert proxy.url == url
            assert write_and_read(url) == [True, True]
        assert read(url)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with Proxy(folder=tmp_path) as proxy:
        assert _threads() == ["iscsiproxy"]
        assert write(proxy.url)
    assert _threads() == []
    with pytest.raises(OSError, match="refused"), socket.create_connection((proxy.host, proxy.port)):
        pass


def test_the_address_may_be_chosen() -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with Proxy(listen=f"127.0.0.1:{port}") as proxy:
            assert proxy.port == port
            assert write(proxy.url)


def test_a_proxy_that_was_not_entered_says_so() -> None:
    with pytest.raises(UsageError, match="with Proxy"):
        _ = Proxy().url


def test_a_target_that_cannot_be_had_is_told_at_once() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"iscsi://me%open-sesame@127.0.0.1:{holder.getsockname()[1]}/iqn.x/0"
        with pytest.raises(PeerError, match=r"iqn\.x") as caught, Proxy(url, scratch=True):
            pass
    assert "open-sesame" not in str(caught.value)
    assert _threads() == []


def test_what_is_wrong_with_a_target_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="did you mean tgt-holes"), Proxy("embedded:tgt-hole"):
        pass
    with (
        pytest.raises(UsageError, match=r"no profile is called 'rfc9999': there are .*rfc7143"),
        Proxy(profile="rfc9999"),
    ):
        pass
    assert _threads() == []


# --- verdicts ------------------------------------------------------------------------------------------------------


def test_a_target_that_says_what_it_must_passes(proxy: Proxy) -> None:
    with proxy.armed(HOLE) as run:
        assert write_and_read(proxy.url)[0] is False
        assert read(proxy.url) is False, "the write was not done"
        assert write_and_read(proxy.url) == [True, True]
    assert run.verdict == "pass", run.verdict.explain()
    assert run.verdict.passed
    assert [one.fired for one in run.result.rules] == [1]


def test_a_target_that_says_good_of_data_that_never_came_fails(tmp_path: Path) -> None:
    with Proxy("embedded:tgt-holes", folder=tmp_path) as proxy:
        with proxy.armed(HOLE) as run:
            assert write(proxy.url)
        assert run.verdict == "fail"
        assert not run.verdict.passed
        reason = run.verdict.reasons[0]
        assert reason.about == "expectation"
        assert "Status=GOOD" in reason.evidence[-1].text
        assert run.journal is not None
        assert run.journal.is_file()
        assert Path(run.result.files["report"]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("target", "verdict"), [("embedded", "pass"), ("embedded:tgt-holes", "fail")])
def test_a_scenario_that_ships(target: str, verdict: str) -> None:
    with Proxy(target) as proxy:
        with proxy.armed("data_out_lost") as run:
            write(proxy.url)
            write(proxy.url)
        assert run.verdict == verdict, run.verdict.explain()


def test_two_blocks_of_a_test_are_judged_each_by_itself(tmp_path: Path) -> None:
    with Proxy("embedded:tgt-holes", folder=tmp_path) as proxy:
        with proxy.armed(HOLE) as first:
            write(proxy.url)
        with proxy.armed(SEEN) as second:
            write_and_read(proxy.url)
        with proxy.armed(HOLE) as third:
            write(proxy.url)
        assert [run.verdict.word for run in (first, second, third)] == ["fail", "pass", "fail"]
        assert [run.name for run in proxy.runs] == ["hole", "seen", "hole#2"]
        assert len({run.folder for run in proxy.runs}) == 3
        assert len({run.result.seed for run in proxy.runs}) == 3


def test_a_rule_that_never_fired_is_no_pass_and_says_why(proxy: Proxy) -> None:
    with proxy.armed(HOLE) as run:
        assert read(proxy.url) is False
    assert run.verdict == "inconclusive"
    assert "rule hole" in run.verdict.why
    assert any("nothing of this kind was seen" in line for line in run.verdict.hints)


def test_a_rule_has_no_time_behind_the_block(proxy: Proxy) -> None:
    with proxy.armed("data_out_lost") as run:
        pass
    assert run.verdict == "inconclusive"
    assert run.result.seconds < 2, "the scenario gives it ten seconds"


def test_rules_are_in_force_until_the_block_ends_though_all_is_decided(proxy: Proxy) -> None:
    with proxy.armed(SEEN.replace(" nth 1", "")) as run:
        for _ in range(3):
            write(proxy.url)
            assert run.wait(5)
    assert [rule.fired for rule in run.result.rules] == [3]


def test_invariants_of_both_ends_are_held(tmp_path: Path) -> None:
    with Proxy("embedded:tgt-holes", folder=tmp_path) as proxy:
        with proxy.armed("drop Data-Out where DataSN == 2 nth 1", aftermath="none") as run:
            write(proxy.url)
        assert run.verdict == "fail", "nothing was expected"
        assert "T-033" in {reason.rule for reason in run.verdict.reasons}
    with Proxy("embedded:tgt-holes", check=False) as proxy:
        with proxy.armed("drop Data-Out where DataSN == 2 nth 1", aftermath="none") as run:
            write(proxy.url)
        assert run.verdict != "fail"


def test_what_is_done_unarmed_is_judged_too(proxy: Proxy) -> None:
    assert write_and_read(proxy.url) == [True, True]
    clean = proxy.findings
    assert clean == ()
    write_and_read(proxy.url, quirk="libiscsi-expstatsn")
    found = proxy.findings
    assert [(one.verdict, one.rule) for one in found] == [("fail", "I-011")]
    with proxy.armed(SEEN) as run:
        write_and_read(proxy.url, quirk="libiscsi-expstatsn")
    assert "I-011" in {one.rule for one in run.verdict.findings}
    assert run.verdict == "warn", "it is the target that is judged in it"
    assert run.verdict.passed
    assert proxy.findings == found, "what happens in a block belongs to its run"


def test_what_is_known_is_no_finding() -> None:
    with Proxy(known="libiscsi-1.19") as proxy:
        write_and_read(proxy.url, quirk="libiscsi-expstatsn")
        assert proxy.findings == ()
        with proxy.armed(SEEN) as run:
            write_and_read(proxy.url, quirk="libiscsi-expstatsn")
        assert run.verdict == "pass"
    with pytest.raises(UsageError, match="no such file or list"), Proxy(known=("libiscsi-1",)):
        pass


# --- what the fault did not let through -----------------------------------------------------------------------------


def test_good_io_behind_the_fault_has_to_be_seen(proxy: Proxy) -> None:
    with proxy.armed(HOLE) as run:
        write(proxy.url)
    assert run.verdict == "inconclusive"
    assert [one.about for one in run.verdict.reasons] == ["aftermath"]
    with proxy.armed(HOLE, aftermath="none") as run:
        write(proxy.url)
    assert run.verdict == "pass"


def _refuse() -> None:
    raise ValueError("no")


@pytest.mark.parametrize(("again", "verdict"), [(read, "pass"), (lambda _: _refuse(), "fail")])
def test_an_aftermath_does_it_when_the_fault_was_cleared(
    proxy: Proxy, again: Callable[[str], object], verdict: str
) -> None:
    called = []

    def aftermath() -> None:
        called.append(threading.current_thread() is threading.main_thread())
        again(proxy.url)

    with proxy.armed(HOLE.replace(" nth 1", ""), aftermath=aftermath) as run:
        write(proxy.url)
    assert run.verdict == verdict, run.verdict.explain()
    assert called == ([True] if verdict == "pass" else [True, True]), "the second time over a new session"


def test_an_aftermath_that_does_nothing_on_the_wire_proves_nothing(proxy: Proxy) -> None:
    with proxy.armed(HOLE, aftermath=lambda: None) as run:
        write(proxy.url)
    assert run.verdict == "inconclusive"
    assert "no good status was seen" in run.verdict.why


def test_what_the_application_saw_may_be_told(proxy: Proxy) -> None:
    text = SEEN + "    expect:\n      - first: [{pass: io-error}, {fail: nothing}]\n"
    with proxy.armed(text) as run:
        write_and_read(proxy.url)
        assert not run.wait(0)
        run.tell("error", "it did not like it")
        assert run.wait(5)
    assert run.verdict == "pass", run.verdict.explain()
    with proxy.armed(text) as run:
        write_and_read(proxy.url)
    assert run.verdict == "fail"


# --- what cannot be --------------------------------------------------------------------------------------------------


def test_an_error_in_the_block_goes_on_and_the_run_is_over(proxy: Proxy) -> None:
    with pytest.raises(ZeroDivisionError), proxy.armed(HOLE) as run:  # noqa: PT012 - what comes before it is the point
        write(proxy.url)
        _ = 1 / 0
    assert run.over
    assert run.verdict == "inconclusive"
    assert "interrupted" in {one.text for one in run.verdict.findings}
    assert read(proxy.url) is False
    assert write(proxy.url), "nothing is armed any more"


@pytest.mark.parametrize("where", ["block", "aftermath"])
def test_an_interrupt_leaves_nothing_behind(where: str, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Proxy(folder=tmp_path) as proxy:  # noqa: PT012 - it comes where it comes
        with proxy.armed(SEEN, aftermath=interrupt):
            write(proxy.url)
            if where == "block":
                interrupt()
        pytest.fail("it went on")
    assert [run.over for run in proxy.runs] == [True]
    assert _threads() == []


def test_one_block_after_the_other(proxy: Proxy) -> None:
    with proxy.armed(SEEN) as run:
        write_and_read(proxy.url)
        with pytest.raises(UsageError, match="seen is not over"), proxy.armed(HOLE):
            pass
        with pytest.raises(UsageError, match="no verdict yet"):
            _ = run.verdict
    assert run.verdict == "pass", "the other one has not touched it"


def test_a_scenario_that_is_wrong_arms_nothing(proxy: Proxy) -> None:
    with (
        pytest.raises(FileError, match=r"inline:3:\d+: .*Data-Owt"),
        proxy.armed("\nrules:\n  - {when: Data-Owt, do: drop}"),
    ):
        pass
    with pytest.raises(UsageError, match="did you mean data_out_lost"), proxy.armed("data_out_lst"):
        pass
    assert proxy.runs == []
    assert write(proxy.url)


def test_what_is_needed_and_not_there_is_skipped_and_the_block_goes_on(proxy: Proxy) -> None:
    for text in (_UNHAD, _UNSETTLED):
        with proxy.armed(text) as run:
            assert write(proxy.url)
            assert write(proxy.url)
        assert run.verdict == "skipped"
        assert not run.verdict.passed
        assert not any(one.fired for one in run.result.rules)
    assert read(proxy.url)


def test_nothing_is_armed_before_a_target_that_was_not_declared_scratch(proxy: Proxy) -> None:
    with Proxy(proxy.url) as other:
        assert write(other.url), "what a test does unarmed is its own business"
        with pytest.raises(UsageError, match="scratch=True, --iscsi-scratch"), other.armed(SEEN):
            pass
    with Proxy(proxy.url, scratch=True) as other:
        with other.armed(SEEN) as run:
            write_and_read(other.url)
        assert run.verdict == "pass"


def test_a_target_may_be_a_command_and_ends_with_the_proxy() -> None:
    command = f"{sys.executable} -m iscsiproxy target --listen {{portal}}"
    with Proxy(command, scratch=True) as proxy:
        assert write(proxy.url)
        with proxy.armed(SEEN) as run:
            assert write_and_read(proxy.url) == [True, True]
        assert run.verdict == "pass", run.verdict.explain()
        target = proxy._target.address
    with pytest.raises(OSError, match="refused"), socket.create_connection((target.host, target.port)):
        pass


def test_an_aftermath_is_a_function_or_none(proxy: Proxy) -> None:
    with pytest.raises(UsageError, match='expected a function or "none"'), proxy.armed(SEEN, aftermath="no"):  # type: ignore[arg-type] # that is the point
        pass


async def test_it_does_not_stop_an_event_loop(proxy: Proxy) -> None:
    with pytest.raises(UsageError, match=r"trio\.to_thread"), proxy.armed(SEEN):
        pass
    await trio.to_thread.run_sync(lambda: proxy.findings)


# --- whole runs ------------------------------------------------------------------------------------------------------


def test_a_whole_run_needs_no_block(tmp_path: Path) -> None:
    with Proxy("embedded:tgt-holes", folder=tmp_path) as proxy:
        run = proxy.test(HOLE)
        assert run.verdict == "fail"
        assert {"steady state", "expectation", "aftermath"} <= {one.about for one in run.verdict.findings}
        assert proxy.test(SEEN).verdict == "pass"
        assert write(proxy.url)
        with pytest.raises(UsageError, match="armed is for that"):
            proxy.test(SEEN, initiator="external")
