"""What tests of running agents are given: a model on loopback that speaks as OpenAI's do."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

HELD = -1
"""Instead of a status: the request is never answered."""


@dataclass
class Replies:
    """What the server answers, in order, and what it was asked."""

    replies: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    """Set when a request has come that is not answered."""
    over: threading.Event = field(default_factory=threading.Event)

    def says(self, **message: Any) -> None:
        """The next reply is a message of the model."""
        reason = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": None} | message}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        shared = {"id": "1", "object": "chat.completion", "created": 1, "model": "test-model"}
        self.replies.append((200, {**shared, "choices": [choice], "usage": usage}))

    def calls(self, tool: str, **arguments: Any) -> None:
        """The next reply calls a tool."""
        function = {"name": tool, "arguments": json.dumps(arguments)}
        self.says(tool_calls=[{"id": "call_1", "type": "function", "function": function}])

    def refuses(self, status: int, message: str) -> None:
        """The next reply is an error."""
        self.replies.append((status, {"error": {"message": message, "type": "invalid_request_error"}}))

    def holds(self) -> None:
        """The next request waits for a reply that never comes."""
        self.replies.append((HELD, {}))


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replies]:
    prepared = Replies()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is the library's
            prepared.keys.append(self.headers["Authorization"])
            prepared.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, answer = prepared.replies.pop(0)
            if status == HELD:
                prepared.held.set()
                prepared.over.wait()
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-on-loopback")
    yield prepared
    prepared.over.set()
    server.shutdown()
    server.server_close()
    thread.join()
