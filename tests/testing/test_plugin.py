from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

__all__: list[str] = []

pytest_plugins = ["pytester"]

_HEAD = """
    import os, signal, threading
    import pytest
    from tests.testing.traffic import HOLE, SEEN, read, write, write_and_read
"""
_FINE = """
    def test_fine(iscsi_proxy):
        with iscsi_proxy.armed(SEEN) as run:
            assert write_and_read(iscsi_proxy.url) == [True, True]
        assert run.verdict.passed
"""


@pytest.fixture
def users(pytester: pytest.Pytester) -> pytest.Pytester:
    """Make a folder of a user's, whose tests may use our initiator."""
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = -p no:cacheprovider\nmarkers =\n  peers\n")
    return pytester


def _written(users: pytest.Pytester, *parts: str) -> None:
    from textwrap import dedent

    users.makepyfile(dedent(_HEAD) + "".join(map(dedent, parts)))


def test_pytest_finds_it_by_itself() -> None:
    found = [one for one in entry_points(group="pytest11") if one.name == "iscsiproxy"]
    assert [one.value for one in found] == ["iscsiproxy.testing.plugin"], "pip install -e . makes it known"


def test_it_costs_nothing_to_those_who_do_not_use_it() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules);"
        "import iscsiproxy.testing.plugin; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = ("proxy", "plugin", "run", "settings", "verdict")
    assert set(done.stdout.split()) == {
        "iscsiproxy",
        "iscsiproxy.errors",
        "iscsiproxy.testing",
        *(f"iscsiproxy.testing.{name}" for name in ours),
    }


def test_a_test_passes(users: pytest.Pytester) -> None:
    _written(users, _FINE)
    result = users.runpytest("-v")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*iscsiproxy -*")


_FAILS = """
    @pytest.mark.iscsi_target("embedded:tgt-holes")
    def test_fails(iscsi_proxy):
        with iscsi_proxy.armed(HOLE) as run:
            write(iscsi_proxy.url)
        {}
"""
#: What a failure tells, whatever the assertion
_TOLD = [
    "fail hole *never: SCSI-Response of lost where Status == GOOD*",
    "expected of the target:",
    "*never: SCSI-Response of lost where Status == GOOD (within 0.3 s)",
    "found:",
    "*expectation: fail: never:*: it came",
    "*drop by rule hole/hole on Data-Out*",
    "*target leg: SCSI-Response *Status=GOOD*",
    "*check: fail: MUST T-033 target: GOOD for a write of 65536 bytes*(RFC 7143 *",
    "*journal: *journal.jsonl",
    "*report: *report.html",
]


@pytest.mark.parametrize(
    ("assertion", "shown"),
    [
        ("assert run.verdict.passed", "E * where False = <fail: never: *: it came*>.passed"),
        ('assert run.verdict == "pass"', "E *hole: fail, expected pass"),
        ('assert run.verdict in ("pass", "warn")', "E *hole: fail, expected pass or warn"),
        ('assert "pass" == run.verdict', "E *hole: fail, expected pass"),
    ],
)
def test_a_failure_tells_what_was_found(assertion: str, shown: str, users: pytest.Pytester) -> None:
    _written(users, _FAILS.format(assertion))
    result = users.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([shown, "*- iscsiproxy -*", *_TOLD, "    again: pytest *::test_fails --iscsi-seed *"])


def test_what_the_failure_says_itself_is_not_said_twice(users: pytest.Pytester) -> None:
    _written(users, _FAILS.format("run.verdict.must('pass')"))
    result = users.runpytest("--tb=short")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *{line}" for line in _TOLD[:1]])
    # pytest's own short summary says a message once more where CI is set
    told, _, _ = str(result.stdout).partition("short test summary info")
    assert told.count("expected of the target:") == 1


def test_a_rule_that_never_fired_fails_with_the_nearest_miss(users: pytest.Pytester) -> None:
    _written(
        users,
        """
        def test_nothing(iscsi_proxy):
            with iscsi_proxy.armed(HOLE.replace("DataSN == 2", "DataSN == 200")) as run:
                write_and_read(iscsi_proxy.url)
            assert run.verdict.passed
        """,
    )
    result = users.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["inconclusive hole *never fired*", "why it did not fire:", "*not `DataSN == 200`: DataSN is *"]
    )


def test_an_error_in_the_block_is_that_of_the_test_and_the_run_is_told(users: pytest.Pytester) -> None:
    _written(
        users,
        """
        def test_error(iscsi_proxy):
            with iscsi_proxy.armed(HOLE):
                write(iscsi_proxy.url)
                raise RuntimeError("of the test")

        def test_nobody_is_there_any_more():
            assert [one.name for one in threading.enumerate() if one.name == "iscsiproxy"] == []
        """,
    )
    result = users.runpytest()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["E *RuntimeError: of the test", "inconclusive hole *", "*run: *interrupted"])


def test_two_blocks_in_one_test(users: pytest.Pytester) -> None:
    _written(
        users,
        """
        def test_two(iscsi_proxy, tmp_path):
            with iscsi_proxy.armed(HOLE, aftermath=lambda: write_and_read(iscsi_proxy.url)) as first:
                write(iscsi_proxy.url)
            with iscsi_proxy.armed("delay 1ms SCSI-Response times 1") as second:
                write_and_read(iscsi_proxy.url)
            assert [str(run.verdict) for run in iscsi_proxy.runs] == ["pass", "pass"]
            assert first.journal == tmp_path / "iscsiproxy" / "hole" / "journal.jsonl"
            assert second.journal.is_file()
        """,
    )
    users.runpytest().assert_outcomes(passed=1)


def test_findings_outside_of_blocks_are_told_too(users: pytest.Pytester) -> None:
    _written(
        users,
        """
        def test_unarmed(iscsi_proxy):
            write_and_read(iscsi_proxy.url, quirk="libiscsi-expstatsn")
            assert not iscsi_proxy.findings
        """,
    )
    result = users.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["found while nothing was armed:", "    MUST I-011 initiator: *", "*Data-Out *"])
    users.runpytest("--iscsi-known", "libiscsi-1.19").assert_outcomes(passed=1)


def test_a_proxy_of_ones_own_beside_the_first(users: pytest.Pytester) -> None:
    _written(
        users,
        """
        def test_chain(iscsi_proxy, iscsi_proxy_factory):
            second = iscsi_proxy_factory(iscsi_proxy.url, scratch=True, check=False)
            with second.armed(SEEN) as run:
                write_and_read(second.url)
            assert run.verdict.passed
            assert run.folder.parent.name == "proxy-2"
            assert second.settings.seed == iscsi_proxy.settings.seed == 7
        """,
    )
    users.runpytest("--iscsi-seed", "7").assert_outcomes(passed=1)


# --- which target ----------------------------------------------------------------------------------------------------

_TARGETS = """
    def _shown(proxy):
        return proxy.settings.target, proxy.settings.scratch

    def test_option(iscsi_proxy):
        assert _shown(iscsi_proxy) == {option!r}

    @pytest.mark.iscsi_target("embedded:W02")
    def test_marker(iscsi_proxy):
        assert _shown(iscsi_proxy) == ("embedded:W02", False)

    @pytest.mark.iscsi_target("embedded:W02", scratch=True)
    def test_marker_with_scratch(iscsi_proxy):
        assert _shown(iscsi_proxy) == ("embedded:W02", True)

    def test_factory(iscsi_proxy_factory):
        assert _shown(iscsi_proxy_factory("embedded:W03")) == ("embedded:W03", False)
        assert _shown(iscsi_proxy_factory()) == {option!r}
"""


@pytest.mark.parametrize(
    ("arguments", "ini", "expected"),
    [
        ((), "", ("embedded", False)),
        ((), "iscsi_target = embedded:W01\niscsi_scratch = yes\n", ("embedded:W01", True)),
        (("--iscsi-scratch",), "iscsi_target = embedded:W01\n", ("embedded:W01", True)),
        (("--iscsi-target", "embedded:W04"), "", ("embedded:W04", False)),
        (("--iscsi-target", "embedded:W04", "--iscsi-scratch"), "", ("embedded:W04", True)),
        # What was declared scratch in the file is another target.
        (("--iscsi-target", "embedded:W04"), "iscsi_target = x\niscsi_scratch = yes\n", ("embedded:W04", False)),
    ],
)
def test_the_target_is_chosen_and_nothing_else_is_scratch(
    arguments: tuple[str, ...], ini: str, expected: tuple[str, bool], users: pytest.Pytester
) -> None:
    users.makeini(f"[pytest]\n{ini}")
    _written(users, _TARGETS.format(option=expected))
    users.runpytest(*arguments).assert_outcomes(passed=4)


def test_a_target_that_is_not_there_is_an_error_of_the_setup(users: pytest.Pytester) -> None:
    _written(users, _FINE)
    result = users.runpytest("--iscsi-target", "127.0.0.1:1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *the target 127.0.0.1:1: *refused*"])


def test_a_password_is_not_shown(users: pytest.Pytester) -> None:
    _written(users, _FINE)
    result = users.runpytest("--iscsi-target", "iscsi://me%open-sesame@127.0.0.1:1/iqn.x/0", "--showlocals", "-vv")
    result.assert_outcomes(errors=1)
    assert "open-sesame" not in str(result.stdout)


def test_everything_is_kept_where_the_user_wants_it(users: pytest.Pytester) -> None:
    _written(users, _FINE)
    users.runpytest("--iscsi-run-dir", "kept").assert_outcomes(passed=1)
    kept = {str(path.relative_to(users.path / "kept")) for path in (users.path / "kept").rglob("*") if path.is_file()}
    name = "test_everything_is_kept_where_the_user_wants_it.py_test_fine"
    files = ("journal.jsonl", "capture.pcapng", "report.html", "result.json", "seen.yaml")
    assert {f"{name}/seen/{file}" for file in files} <= kept


def test_options_are_in_the_help(users: pytest.Pytester) -> None:
    result = users.runpytest("--help")
    result.stdout.fnmatch_lines(["iSCSI faults and verdicts:", "*--iscsi-target=T*", "*--iscsi-run-dir=DIR*"])
    result.stdout.fnmatch_lines(["  iscsi_target (string):", "*what iscsi_proxy stands before"])
    users.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.iscsi_target(target, scratch=False): *"])


# --- beside other plugins --------------------------------------------------------------------------------------------


def test_it_is_no_trouble_to_tests_of_trio(users: pytest.Pytester) -> None:
    users.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    _written(
        users,
        _FINE,
        """
        import trio

        async def test_of_trio(iscsi_proxy):
            # A whole block in another thread: it waits, and this one must not.
            def block():
                with iscsi_proxy.armed(SEEN) as run:
                    write_and_read(iscsi_proxy.url)
                return run.verdict.word
            assert await trio.to_thread.run_sync(block) == "pass"
        """,
    )
    users.runpytest().assert_outcomes(passed=2)


@pytest.mark.slow
def test_workers_have_the_same_seed(users: pytest.Pytester) -> None:
    _written(
        users,
        """
        @pytest.mark.parametrize("n", range(4))
        def test_seed(n, iscsi_proxy, pytestconfig):
            with open(f"{pytestconfig.rootpath}/seed-{n}", "w") as file:
                file.write(f"{iscsi_proxy.settings.seed}")
        """,
    )
    users.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider").assert_outcomes(passed=4)
    assert len({path.read_text() for path in users.path.glob("seed-*")}) == 1


@pytest.mark.parametrize("where", ["in the block", "at its end"])
def test_ctrl_c_ends_it_all(where: str, users: pytest.Pytester) -> None:
    _written(
        users,
        f"""
        def test_interrupted(iscsi_proxy):
            # A window that does not open is waited for that long.
            text = SEEN.replace("within: 500ms", "within: 60s") + "    expect: [{{never: Reject, after: Async}}]"
            with iscsi_proxy.armed(text) as run:
                write_and_read(iscsi_proxy.url)
                if {where == "in the block"}:
                    os.kill(os.getpid(), signal.SIGINT)
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        """,
    )
    users.makeconftest(
        """
        import signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in its background ignores it
        def pytest_unconfigure():
            print("threads:", [one.name for one in threading.enumerate() if one.name == "iscsiproxy"])
        """
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "pytest", "-s", "-p", "no:cacheprovider"],
        cwd=users.path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert "KeyboardInterrupt" in done.stdout
    assert "threads: []" in done.stdout
