"""The page of the API: `python -m tests.api.page` writes its reference anew, and leaves what stands above it."""

from __future__ import annotations

from pathlib import Path

from iscsiproxy.api.reference import reference

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[2] / "iscsiproxy" / "api" / "README.md"


def page() -> str:
    """Give the page with the reference as it is now."""
    above, _, _ = PAGE.read_text(encoding="utf-8").partition("## Operations\n")
    return above + reference()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
