"""A real HTTP server on loopback that answers what a test has written down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """One answer; `body` is sent as JSON, text as it is; `delay` seconds pass before."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


Script = list[Answer] | Callable[[dict[str, Any]], Answer]
"""Answers in order, the last one for ever; or made from the request's JSON."""


class ScriptedServer:
    """Answers by its script and keeps what it was asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.busy = self.busiest = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def serve(self) -> None:
        self._http.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, path: str, headers: dict[str, str], body: Any) -> Answer:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self.paths.append(path)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        if isinstance(self.script, list):
            answer = self.script[min(number, len(self.script) - 1)]
        else:
            answer = self.script(body)
        time.sleep(answer.delay)
        with self._lock:
            self.busy -= 1
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                self._send(server._answer(self.path, dict(self.headers), body))

            def do_GET(self) -> None:
                self._send(server._answer(self.path, dict(self.headers), None))

            def _send(self, answer: Answer) -> None:
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                data = text.encode()
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def scripted(script: Script) -> Iterator[ScriptedServer]:
    """Run a server while the block runs."""
    server = ScriptedServer(script)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(timeout=10)


def chat_answer(text: str, **message: Any) -> Answer:
    """Return a turn of the assistant as OpenAI sends it."""
    return Answer(
        {
            "model": "served",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, **message},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
        }
    )
