"""`python -m iscsiproxy`."""

from __future__ import annotations

from iscsiproxy.cli import main

main()
