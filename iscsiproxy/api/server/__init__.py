"""The server side of the control API, inside the proxy, under trio.

- `control` does what is asked: it reads the trackers, tells the engine, and knows nothing of HTTP;
- `app` makes routes of the operations, `serving` listens, on a Unix socket or on loopback with a token;
- `openapi` describes it all.
"""

from __future__ import annotations

__all__: list[str] = []
