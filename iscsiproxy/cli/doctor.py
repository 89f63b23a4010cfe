"""`iscsiproxy doctor`: which real peers and tools are here, and what each is for."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import click

from iscsiproxy import __version__

__all__ = ["TOOLS", "Found", "Tool", "command", "look"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A program we work with: how to ask its version, what it is for, and the Debian package it comes in."""

    name: str
    purpose: str
    package: str
    ask: tuple[str, ...] = ("--version",)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a tool; `path` is None when it is not here."""

    name: str
    path: str | None
    version: str
    purpose: str
    package: str


#: Every program the tests and how-tos use.
TOOLS = (
    Tool("tgtd", "a real target", "tgt"),
    Tool("tgtadm", "sets up tgtd", "tgt"),
    Tool("iscsi-ls", "a real initiator: discovery", "libiscsi-bin", ()),
    Tool("iscsi-inq", "a real initiator: one command", "libiscsi-bin", ()),
    Tool("iscsi-test-cu", "a real initiator: a conformance suite", "libiscsi-bin", ()),
    Tool("iscsi-perf", "a real initiator: load", "libiscsi-bin", ()),
    Tool("qemu-io", "a real initiator: patterns, header digests", "qemu-utils"),
    Tool("qemu-img", "a real initiator: copies and load", "qemu-utils"),
    Tool("tshark", "reads our captures", "tshark"),
    Tool("haproxy", "the yardstick of the benchmark", "haproxy", ("-v",)),
    Tool("socat", "another yardstick of the benchmark", "socat", ("-V",)),
)
_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Say which real peers and tools are here, in which versions, and what is missing for what.

    Nothing of this is needed to run the proxy itself. Exit code 1 when something is missing.
    """
    found = [look(tool) for tool in TOOLS]
    if shutil.which("qemu-io") and not _qemu_speaks_iscsi():
        found.append(Found("qemu iscsi driver", None, "", "lets QEMU speak iSCSI", "qemu-block-extra"))
    missing = [entry for entry in found if entry.path is None]
    libraries = _libraries()
    if as_json:
        facts = {
            "iscsiproxy": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "libraries": libraries,
            "tools": [asdict(entry) for entry in found],
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(found, libraries)
        if missing:
            packages = " ".join(sorted({entry.package for entry in missing}))
            click.echo(f"\nOn Debian and Ubuntu: apt-get install --no-install-recommends {packages}")
    sys.exit(1 if missing else 0)


def look(tool: Tool) -> Found:
    """Find a tool and ask its version; never raises."""
    path = shutil.which(tool.name, path=_search_path())
    text = ""
    if path is not None:
        text = _ask((path, *tool.ask)) if tool.ask else _ask(("dpkg-query", "-W", "-f", "${Version}", tool.package))
    match = _NUMBER.search(text)
    return Found(tool.name, path, match[0] if match else "", tool.purpose, tool.package)


def _search_path() -> str:
    # tgtd lives where an ordinary user's PATH does not look.
    return ":".join(filter(None, (os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


def _ask(argv: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the programs of TOOLS, found on PATH
            argv, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout + done.stderr


def _qemu_speaks_iscsi() -> bool:
    # A driver that is there complains of the URL; one that is not is an unknown protocol.
    return "Unknown protocol" not in _ask(("qemu-img", "info", "iscsi://127.0.0.1:1/none/0"))


def _libraries() -> dict[str, str]:
    """Give the versions of the libraries that the program says it needs; an empty one for what is not here."""
    versions = {}
    for requirement in requires("iscsiproxy") or ():
        if "extra ==" not in requirement and (name := _NAME.match(requirement)):
            try:
                versions[name[0]] = version(name[0])
            except PackageNotFoundError:
                versions[name[0]] = ""
    return versions


def _print(found: list[Found], libraries: dict[str, str]) -> None:
    click.echo(f"iscsiproxy {__version__}, Python {platform.python_version()}, {platform.system()}")
    click.echo("  " + ", ".join(f"{name} {number or 'missing'}" for name, number in libraries.items()) + "\n")
    for entry in found:
        if entry.path is None:
            line = click.style(f"missing   {entry.name:17} {entry.purpose} (package {entry.package})", fg="red")
        else:
            line = f"ok        {entry.name:17} {entry.version or '?':10} {entry.purpose}"
        click.echo(line)
