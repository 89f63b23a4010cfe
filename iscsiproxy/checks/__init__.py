"""The judge: what both ends do, held against the standards, over the events of a journal and nothing else.

- `scene`: what is known of a leg: connections, sessions, tasks, every number and byte that rules ask for;
- `rules`, `moment`, `debts`: what a rule is, what it is shown, what it may demand for later;
- `invariants`: the rules themselves, one family a module; `catalogue` lists them;
- `court`: all rules of one end at work; `judge`: both ends, records in, findings out;
- `disk`: what every block may hold, so that what a read returns can be judged;
- `profiles`: the standards that there are to choose from, and where each says a thing.

The room knows nothing of the engine: that a fault changed a field is one more fact in the journal.
"""

from __future__ import annotations

__all__: list[str] = []
