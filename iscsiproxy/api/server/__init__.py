"""The server side of the control API, inside the proxy, under trio.

- `control` does what is asked: it reads the trackers, tells the engine, and knows nothing of HTTP;
- `app` makes routes of the operations: what is `asked` is read strictly, what takes its time is done while its client
  is there (`following`);
- `serving` serves it, `listening` makes the socket, on a path or on loopback with a token;
- `openapi` describes it all.
"""

from __future__ import annotations

__all__: list[str] = []
