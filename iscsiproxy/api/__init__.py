"""The control API: what a running proxy can be asked, and told to do, as JSON over HTTP.

- `models` are the values that go over it, `operations` the one list of what there is to ask: routes, clients, OpenAPI
  and reference are made from it;
- `address` is where a proxy is found;
- `client` asks, from a plain program or under asyncio and trio: the operations are its methods (`calls`), what comes
  back is an answer, a refusal (`answers`) or a stream of events (`events`);
- `server` answers, inside the proxy, under trio.
"""

from __future__ import annotations

__all__: list[str] = []
