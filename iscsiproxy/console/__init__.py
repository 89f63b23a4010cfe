"""The console: a prompt, or a script, that watches and drives a running proxy through its control API.

A command is a typed function in the registry; prompt, completion, help, scripts and `--json` are made from it. A line
that begins with an act is a rule of the fault language, and goes to the proxy as it was typed.
"""

from __future__ import annotations

__all__ = ["DETACHED"]

#: The exit status that tells the run which started a console to go on without it
DETACHED = 10
