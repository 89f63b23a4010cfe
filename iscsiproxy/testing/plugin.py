"""The pytest plugin: the fixtures `iscsi_proxy` and `iscsi_proxy_factory`, and failures that tell what was found.

pytest loads it by itself wherever iscsiproxy is installed; until a test asks for a fixture it costs next to nothing. Of
a test that fails, everything that was no pass is told in a section of its own: what was expected, what was found, the
PDUs that prove it, and where journal and report are.
"""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from iscsiproxy.errors import IscsiProxyError
from iscsiproxy.testing.proxy import Proxy
from iscsiproxy.testing.verdict import Verdict

__all__ = [
    "Factory",
    "iscsi_proxy",
    "iscsi_proxy_factory",
    "pytest_addoption",
    "pytest_assertrepr_compare",
    "pytest_configure",
    "pytest_runtest_makereport",
]

#: Starts a proxy that ends with the test; the arguments are those of `Proxy`
Factory: TypeAlias = Callable[..., Proxy]

_PROXIES: Final = pytest.StashKey[list[Proxy]]()
#: Of the name of a test, what can be no part of a folder's name everywhere
_ODD: Final = re.compile(r"[^\w.=,-]+")
#: The longest name of a folder, in characters: file systems take 255 bytes
_LONGEST: Final = 200
_MARKER: Final = (
    "iscsi_target(target, scratch=False): the target that `iscsi_proxy` stands before in this test, and whether all of "
    "it may be overwritten"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini options."""
    group = parser.getgroup("iscsiproxy", "iSCSI faults and verdicts")
    group.addoption(
        "--iscsi-target",
        metavar="T",
        help="what iscsi_proxy stands before: embedded[:QUIRK,…], HOST[:PORT], an iscsi:// URL, or a command told "
        "{port}  [default: ini option iscsi_target, or embedded]",
    )
    group.addoption("--iscsi-scratch", action="store_true", default=False, help="all of that target may be overwritten")
    group.addoption(
        "--iscsi-known",
        action="append",
        default=[],
        metavar="FILE|NAME",
        help="a list of accepted deviations; may be repeated",
    )
    group.addoption("--iscsi-seed", type=int, metavar="N", help="reproduce random decisions  [default: a fresh one]")
    group.addoption(
        "--iscsi-run-dir",
        type=Path,
        metavar="DIR",
        help="keep everything of every run there  [default: the journal, and a report of what is no pass, in tmp_path]",
    )
    parser.addini("iscsi_target", "what iscsi_proxy stands before", default="")
    parser.addini("iscsi_scratch", "all of iscsi_target may be overwritten", type="bool", default=False)
    parser.addini("iscsi_known", "lists of accepted deviations, one a line", type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, and draw the seed; all workers of pytest-xdist have the same."""
    config.addinivalue_line("markers", _MARKER)
    if config.option.iscsi_seed is None:
        run = getattr(config, "workerinput", {}).get("testrunuid")
        rng = random.SystemRandom() if run is None else random.Random(run)
        config.option.iscsi_seed = rng.randrange(1 << 32)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A target, and whether that one was declared scratch."""

    target: str = field(repr=False)
    scratch: bool


def _chosen(node: pytest.Item) -> _Chosen:
    """Give the target of a test: what was declared scratch is never another one."""
    config = node.config
    marker = node.get_closest_marker("iscsi_target")
    if marker is not None:
        return _of_marker(*marker.args, **marker.kwargs)
    scratch = bool(config.getoption("iscsi_scratch"))
    if (target := config.getoption("iscsi_target")) is not None:
        return _Chosen(str(target), scratch)
    return _Chosen(config.getini("iscsi_target") or "embedded", scratch or bool(config.getini("iscsi_scratch")))


def _of_marker(target: str, scratch: bool = False) -> _Chosen:
    return _Chosen(target, scratch)


@pytest.fixture
def iscsi_proxy_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Factory]:
    """Start proxies for this test: `iscsi_proxy_factory(target="…", scratch=True)`; the arguments are `Proxy`'s.

    They end with the test. Without a target it is that of the options; `scratch` belongs to the target given with it.
    """
    config, item = request.config, request.node
    kept = config.getoption("iscsi_run_dir")
    folder = tmp_path / "iscsiproxy" if kept is None else kept / _ODD.sub("_", item.nodeid)[:_LONGEST]
    proxies = item.stash.setdefault(_PROXIES, [])
    with ExitStack() as stack:

        def start(target: str | None = None, **settings: Any) -> Proxy:
            __tracebackhide__ = True
            chosen = _chosen(item) if target is None else _Chosen(target, scratch=False)
            known = settings.pop("known", ())
            proxy = Proxy(
                chosen.target,
                **{
                    "scratch": chosen.scratch,
                    "seed": config.option.iscsi_seed,
                    "folder": folder if not proxies else folder / f"proxy-{len(proxies) + 1}",
                    "everything": kept is not None,
                    "known": (
                        *((known,) if isinstance(known, str) else known),
                        *config.getoption("iscsi_known"),
                        *config.getini("iscsi_known"),
                    ),
                    **settings,
                },
            )
            proxy.again = shlex.join(("pytest", item.nodeid, "--iscsi-seed", str(config.option.iscsi_seed)))
            stack.enter_context(proxy)
            proxies.append(proxy)
            return proxy

        yield start


@pytest.fixture
def iscsi_proxy(iscsi_proxy_factory: Factory) -> Proxy:
    """Stand before the target of the marker, of --iscsi-target or the ini option, else before an embedded one."""
    return iscsi_proxy_factory()


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Say in a few lines why a verdict is another one."""
    if isinstance(left, Verdict) and op in ("==", "in"):
        return left.difference(right)
    if isinstance(right, Verdict) and op == "==":
        return right.difference(left)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a test that failed what the proxies have found in it."""
    report = yield
    if report.failed and call.when == "call":
        told = [text for proxy in item.stash.get(_PROXIES, []) for text in _told(proxy, report.longreprtext)]
        if told:
            report.sections.append(("iscsiproxy", "\n\n".join(told)))
    return report


def _told(proxy: Proxy, already: str) -> Iterator[str]:
    """Tell what was no pass, but for what stands there already."""
    for run in proxy.runs:
        if run.over and run.verdict != "pass":
            text = run.verdict.explain()
            if text.partition("\n")[0] not in already:
                yield f"{text}\n    again: {proxy.again}"
    with suppress(IscsiProxyError):  # of a proxy that has ended by itself the end of the fixture tells
        findings = proxy.findings
        if findings:
            lines = [line for one in findings for line in (one.text, *(f"  {evidence}" for evidence in one.evidence))]
            yield "\n    ".join(("found while nothing was armed:", *lines))
    if proxy.said:
        yield "\n    ".join(("the proxy said:", *proxy.said))
