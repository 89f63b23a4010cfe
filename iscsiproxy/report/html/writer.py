"""Write the report: one file, which appears when it is whole."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iscsiproxy.errors import UsageError
from iscsiproxy.report.html.page import Page, make_page
from iscsiproxy.report.html.repeat import Repeat
from iscsiproxy.report.model import SuiteResult

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["NAME", "html", "write_report"]

#: What the file is called in a run directory
NAME: Final = "report.html"


def write_report(
    result: SuiteResult, folder: Path, *, repeat: Repeat | None = None, fail_on_warn: bool = False
) -> Path:
    """Write `report.html` of a suite into `folder`, and give its path. Raises UsageError."""
    path = folder / NAME
    page = make_page(result, folder, repeat=repeat, fail_on_warn=fail_on_warn)
    part = folder / f".{NAME}.{os.getpid()}"
    try:
        try:
            with part.open("w", encoding="utf-8") as file:
                file.writelines(html(page))
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path


def html(page: Page) -> Iterator[str]:
    """Give the document in pieces, run by run."""
    environment = _environment()
    template = environment.get_template("report.html.jinja")
    script = environment.get_template("script.js").render()
    began = time.monotonic()
    yield from template.generate(
        page=page,
        script=_safe(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        took=lambda: time.monotonic() - began,
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("iscsiproxy.report.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_speakable,
    )
    environment.filters["seconds"] = _seconds
    environment.filters["breakable"] = _breakable
    return environment


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own script, with nothing of anybody's in it


def _breakable(name: str) -> Any:
    """Let a long name go on in the next line behind each `_`."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(_speakable(part)) for part in name.split("_"))


def _speakable(value: Any) -> Any:
    """Draw what cannot be seen, or turns the text around it, as Python would: names come from anybody."""
    if type(value) is not str or value.isprintable():
        return value
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode() for each in value
    )


def _seconds(value: float) -> str:
    """Write a time as people read it."""
    if value >= 100:
        return f"{value:.0f} s"
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.1f} ms"
