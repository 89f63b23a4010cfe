"""Talk to the YAML language server that editors use, as an editor does: JSON-RPC on its standard streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.real.peers import program

__all__ = ["Editor"]


class Editor:
    """A session with the server in which one file is open; the file's own first line names its schema."""

    def __init__(self) -> None:
        # It runs in a node of its own, if there is one in our environment.
        path = os.pathsep.join([f"{sys.prefix}/bin", os.environ.get("PATH", os.defpath)])
        self._process = subprocess.Popen(
            [program("yaml-language-server"), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PATH": path},
        )
        self._number = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._ask("initialize", {"processId": None, "rootUri": None, "capabilities": _CAPABILITIES})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": _SETTINGS})

    def __repr__(self) -> str:
        return f"<Editor {self._process.pid}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @contextmanager
    def showing(self, file: Path) -> Iterator[str]:
        """Have a file open; gives its address."""
        address = file.resolve().as_uri()
        document = {"uri": address, "languageId": "yaml", "version": 1, "text": file.read_text()}
        self._tell("textDocument/didOpen", {"textDocument": document})
        try:
            yield address
        finally:
            self._tell("textDocument/didClose", {"textDocument": {"uri": address}})

    def complaints(self, address: str) -> list[str]:
        """Give the diagnostics of a file: line from 1, and message."""
        while address not in self._diagnostics:
            self._take(self._read())
        return [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in self._diagnostics.pop(address)]

    def completions(self, address: str, line: int, column: int) -> dict[str, str]:
        """Give what is offered at a place (from 1), and the help shown with each."""
        answer = self._ask("textDocument/completion", _at(address, line, column))
        items = answer["items"] if isinstance(answer, dict) else answer
        return {item["label"]: _text(item.get("documentation") or "") for item in items}

    def hover(self, address: str, line: int, column: int) -> str:
        """Give what is shown for the word at a place (from 1)."""
        answer = self._ask("textDocument/hover", _at(address, line, column))
        return _text(answer["contents"]) if answer else ""

    # --- JSON-RPC ---

    def _tell(self, method: str, params: dict[str, Any]) -> None:
        self._send({"method": method, "params": params})

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while (message := self._read()).get("id") != self._number or "method" in message:
            self._take(message)
        if "error" in message:
            raise RuntimeError(message["error"]["message"])
        return message["result"]

    def _take(self, message: dict[str, Any]) -> None:
        """Take note of what comes unasked, and answer the server's own questions."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            asked = message["params"].get("items", ()) if message["method"] == "workspace/configuration" else ()
            settings = [_SETTINGS.get(item["section"], {}) for item in asked]
            self._send({"id": message["id"], "result": settings or None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while (line := self._process.stdout.readline().strip()) or not length:
            if not line and self._process.poll() is not None:
                raise RuntimeError("the language server has ended")
            name, _, value = line.decode().partition(": ")
            if name.lower() == "content-length":
                length = int(value)
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return message


_CAPABILITIES = {
    "workspace": {"configuration": True, "didChangeConfiguration": {}},
    "textDocument": {
        "completion": {"completionItem": {"documentationFormat": ["plaintext"], "snippetSupport": True}},
        "hover": {"contentFormat": ["plaintext"]},
        "publishDiagnostics": {},
    },
}
_SETTINGS: dict[str, Any] = {
    "yaml": {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}},
}


def _at(address: str, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": address}, "position": {"line": line - 1, "character": column - 1}}


def _text(contents: Any) -> str:
    if isinstance(contents, dict):
        return str(contents["value"])
    return "\n".join(map(_text, contents)) if isinstance(contents, list) else str(contents)
