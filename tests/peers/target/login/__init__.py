"""How the target holds a login: requests in, responses out."""

from __future__ import annotations
