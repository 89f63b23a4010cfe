"""iscsiproxy: an iSCSI proxy that breaks things on purpose and judges what both ends do next."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
